/** What can be told. Each webhook wants some of them. */
export const ALERT_KINDS = [
  "account_needs_relogin",
  "account_unusable",
  "accounts_exhausted",
  "key_near_limit",
  "key_at_limit",
  "daily_summary",
] as const;

export type AlertKind = (typeof ALERT_KINDS)[number];

/** The shapes that receivers understand. */
export const ALERT_FORMATS = ["json", "slack", "discord", "feishu", "dingtalk"] as const;

export type AlertFormat = (typeof ALERT_FORMATS)[number];

export interface Subject {
  type: "account" | "key" | "pool";
  /** Of an account or key; of the pool the model family, `*` for all. */
  id: string;
  name: string;
}

/** Something that is wrong now, and will be told once until it is over. */
export interface Incident {
  /** The same as long as it is the same matter. */
  id: string;
  kind: AlertKind;
  /** Tells matters of one kind apart: another cause under the same id is told again. */
  cause: string;
  subject: Subject;
  /** In words, for the operator. */
  reason: string;
  sinceMs: number;
  /** When it ends by itself; null: not, or not known. */
  untilMs: number | null;
}

/** An incident as it goes out: that it began, or that it is over. */
export interface Occurrence extends Incident {
  state: "raised" | "recovered";
  /** Everything that was raised of it: whoever heard one of these hears of the end. */
  kinds: AlertKind[];
  atMs: number;
}

/** A message as it is kept until everyone has it; formats give it its shape. */
export interface AlertMessage {
  /** The same at every try, so that a receiver can tell what comes twice. */
  id: string;
  kind: AlertKind | "test";
  state: "raised" | "recovered" | "report";
  atMs: number;
  title: string;
  lines: string[];
  /** What to do next; empty: nothing. */
  advice: string;
  /** Of the panel; null where its address is not known. */
  url: string | null;
  /** What it is about, for machines. */
  about: {
    type: Subject["type"];
    id: string;
    name: string;
    reason: string;
    since: string;
    until: string | null;
  }[];
  summary: SummaryFigures | null;
}

/** What a daily summary says, in figures. Costs are dollars. */
export interface SummaryFigures {
  from: string;
  to: string;
  requests: number;
  failed: number;
  unsettled: number;
  inputTokens: number;
  outputTokens: number;
  cacheWriteTokens: number;
  cacheReadTokens: number;
  costDollars: number;
  topKeys: { id: string; name: string; requests: number; costDollars: number }[];
  accounts: { id: string; name: string; standing: string }[];
}
