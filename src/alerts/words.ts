import type { AlertKind, AlertMessage, Occurrence, SummaryFigures } from "./alert.ts";

/** So many subjects are named one by one; the rest is a number. */
const NAMED_SUBJECTS = 15;
const REASON_MAX_CHARS = 300;
/** What chats show first, and what keyword rules of bots can ask for. */
const SENDER = "Claude relay";

/** What happened, for one and for several of them. */
const TITLES: Record<
  Exclude<AlertKind, "daily_summary">,
  Record<Occurrence["state"], [string, string]>
> = {
  account_needs_relogin: {
    raised: ["an account needs a new login", "accounts need a new login"],
    recovered: ["an account is logged in again", "accounts are logged in again"],
  },
  account_unusable: {
    raised: ["an account cannot be used", "accounts cannot be used"],
    recovered: ["an account can be used again", "accounts can be used again"],
  },
  accounts_exhausted: {
    raised: ["no account can serve", "no account can serve"],
    recovered: ["accounts can serve again", "accounts can serve again"],
  },
  key_near_limit: {
    raised: ["a key is near its limit", "keys are near their limits"],
    recovered: ["a key has room again", "keys have room again"],
  },
  key_at_limit: {
    raised: ["a key has reached its limit", "keys have reached their limits"],
    recovered: ["a key has room again", "keys have room again"],
  },
};

/** What to do next, by cause. */
const ADVICE: Record<string, string> = {
  needs_relogin: "log in again: `accounts login` in the CLI, or the account's page in the panel.",
  credential_rejected:
    "it is tried again by itself. If it stays so, give the account a new credential or log in again.",
  spend_limited:
    "add credit or raise the spend limit in the Claude Console, then `accounts reset` it in the CLI.",
  org_disabled:
    "Anthropic has switched the organisation off for this access: see its Console. The relay uses the account no more.",
  exhausted:
    "look at `accounts list`: add an account, mend one, or wait for the first to come back.",
  near: "raise the limit with `keys update`, or tell the key's holder.",
  reached:
    "its requests are refused until then. Raise the limit with `keys update` if that is not meant.",
};

/** One message about everything of one kind that happened at the same time. */
export function incidentMessage(
  id: string,
  occurrences: readonly [Occurrence, ...Occurrence[]],
  url: string | null,
  nowMs: number,
): AlertMessage {
  const [first] = occurrences;
  const { kind, state } = first;
  const titles = kind === "daily_summary" ? null : TITLES[kind][state];
  const count = occurrences.length;
  const what = count === 1 ? titles?.[0] : `${count} ${titles?.[1]}`;
  const isPool = kind === "accounts_exhausted";
  const named = occurrences.slice(0, NAMED_SUBJECTS).map(lineOf);
  const more = count - named.length;
  const causes = [...new Set(occurrences.map(({ cause }) => cause))];
  const advice = causes.map((cause) => ADVICE[cause]).filter((text) => text !== undefined);
  return {
    id,
    kind,
    state,
    atMs: nowMs,
    title: `${SENDER}: ${isPool ? titles?.[0] : what}`,
    lines: more > 0 ? [...named, `and ${more} more`] : named,
    advice: state === "raised" ? advice.join(" ") : "",
    url,
    about: occurrences.map(({ subject, reason, sinceMs, untilMs }) => ({
      ...subject,
      reason: reason.slice(0, REASON_MAX_CHARS),
      since: iso(sinceMs),
      until: untilMs === null ? null : iso(untilMs),
    })),
    summary: null,
  };
}

function lineOf({ subject, state, reason, sinceMs, untilMs, atMs }: Occurrence): string {
  const why = reason.slice(0, REASON_MAX_CHARS).replace(/\.$/, "");
  const name = subject.type === "pool" ? subject.name : `${subject.type} "${subject.name}"`;
  if (state === "recovered") {
    return `- ${name}: ${why}; it began ${minute(sinceMs)} and ended ${minute(atMs)}`;
  }
  const until = untilMs === null ? "" : `, until ${minute(untilMs)}`;
  return `- ${name}: ${why}; since ${minute(sinceMs)}${until}`;
}

export function testMessage(
  id: string,
  name: string,
  url: string | null,
  nowMs: number,
): AlertMessage {
  return {
    id,
    kind: "test",
    state: "report",
    atMs: nowMs,
    title: `${SENDER}: a test`,
    lines: [`The webhook "${name}" works. Nothing is wrong.`],
    advice: "",
    url,
    about: [],
    summary: null,
  };
}

export function summaryMessage(
  id: string,
  summary: SummaryFigures,
  times: { from: string; to: string },
  url: string | null,
  nowMs: number,
): AlertMessage {
  const number = (value: number) => value.toLocaleString("en-GB");
  const dollars = (value: number) => `$${value.toFixed(2)}`;
  const { requests, failed, unsettled, topKeys, accounts } = summary;
  const ill = accounts.filter(({ standing }) => standing !== "ready");
  const keys = topKeys.map(
    ({ name, requests: count, costDollars }) =>
      `- ${name}: ${dollars(costDollars)}, ${number(count)} requests`,
  );
  return {
    id,
    kind: "daily_summary",
    state: "report",
    atMs: nowMs,
    title: `${SENDER}: summary from ${times.from} to ${times.to}`,
    lines: [
      `Requests: ${number(requests)}, of which ${number(failed)} failed and ${number(unsettled)} ended unseen`,
      `Tokens: ${number(summary.inputTokens)} in, ${number(summary.outputTokens)} out, ${number(summary.cacheWriteTokens)} written to and ${number(summary.cacheReadTokens)} read from the cache`,
      `Cost: ${dollars(summary.costDollars)}`,
      ...(keys.length === 0 ? [] : ["Keys that cost most:", ...keys]),
      `Accounts: ${accounts.length - ill.length} of ${accounts.length} ready`,
      ...ill
        .slice(0, NAMED_SUBJECTS)
        .map(({ name, standing }) => `- ${name}: ${standing.replaceAll("_", " ")}`),
      ...(ill.length > NAMED_SUBJECTS ? [`and ${ill.length - NAMED_SUBJECTS} more`] : []),
    ],
    advice: "",
    url,
    about: [],
    summary,
  };
}

function iso(atMs: number): string {
  return new Date(atMs).toISOString();
}

/** `2027-01-31 12:05 UTC` */
function minute(atMs: number): string {
  return `${iso(atMs).slice(0, 16).replace("T", " ")} UTC`;
}
