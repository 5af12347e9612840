/** How long what is kept; from the configuration. */
export interface LedgerRetention {
  /** Of the recent requests: so many, and so long. */
  recentRequests: number;
  recentDays: number;
  /** Sums by hour; and sums by key and day. Sums by day over all keys are kept for good. */
  hourlyDays: number;
  dailyDays: number;
}
