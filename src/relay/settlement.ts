import type { ChosenBy } from "../accounts/choose.ts";
import type { TokenCounts } from "../upstream/usage.ts";

/** How a request ended, for the ledger. */
export type Outcome =
  /** Upstream answered, and the whole answer was read. */
  | "completed"
  /** Upstream answered with an error, which was passed on. */
  | "upstream_error"
  /** The client left before the end. */
  | "client_closed"
  /** Upstream broke off in the middle of its answer. */
  | "truncated"
  /** The relay refused after admission: no account could serve. */
  | "refused";

/** One try at one account. */
export interface Attempt {
  accountId: string;
  /** Null where no answer came. */
  status: number | null;
  /** The verdict's or refusal's name. */
  verdict: string;
  durationMs: number;
}

/** What was used and what it costs; all zero where upstream billed nothing. */
export interface Bill {
  tokens: TokenCounts;
  webSearchRequests: number;
  /** The model as upstream named it, or null. */
  model: string | null;
  serviceTier: string | null;
  speed: string | null;
  inferenceGeo: string | null;
  /** True where the end of the stream was not seen and output tokens were estimated. */
  estimated: boolean;
  costNanoDollars: number;
  /** Which price row was used, so that history is never priced anew. */
  priceId: string | null;
  /** False where the model was not in the price table and the default tier was used. */
  priceKnown: boolean;
}

/** Everything that completes an admitted request's row. Idempotent by request id. */
export interface Settlement {
  requestId: string;
  outcome: Outcome;
  /** The status that the client got. */
  status: number;
  accountId: string | null;
  /** What decided for that account; null where none answered. */
  chosenBy: ChosenBy | null;
  attempts: Attempt[];
  session: string | null;
  /** The account that the session was on when the request was let in. */
  pinnedTo: string | null;
  /** From the request's start to the first byte of the answer; null where there was none. */
  firstByteMs: number | null;
  durationMs: number;
  bill: Bill;
  /** Whether someone reads the usage ledger these minutes, so that it should soon be there. */
  isWatched: boolean;
}

export const NOTHING_BILLED: Bill = {
  tokens: {
    inputTokens: 0,
    outputTokens: 0,
    cacheWrite5mTokens: 0,
    cacheWrite1hTokens: 0,
    cacheReadTokens: 0,
  },
  webSearchRequests: 0,
  model: null,
  serviceTier: null,
  speed: null,
  inferenceGeo: null,
  estimated: false,
  costNanoDollars: 0,
  priceId: null,
  priceKnown: true,
};
