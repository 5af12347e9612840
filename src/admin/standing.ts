import type { NotReady } from "../accounts/choose.ts";

const TROUBLE_IN_WORDS = {
  needs_relogin: "It needs to log in again.",
  credential_rejected: "Anthropic refused its credential.",
  spend_limited: "Its credit or spend limit is used up.",
  org_disabled: "Anthropic switched its organisation off.",
} as const;

/** Why an account does not serve, for whoever runs the relay. */
export function standingInWords(standing: NotReady): string {
  switch (standing.kind) {
    case "disabled":
      return "It is switched off.";
    case "expired":
      return `It was to serve until ${iso(standing.expiredAtMs)}.`;
    case "no_egress":
      return "It has a proxy that this relay cannot dial.";
    case "trouble": {
      const { kind, detail, untilMs } = standing.trouble;
      const until = untilMs === null ? "A person has to act." : `Until ${iso(untilMs)}.`;
      return [TROUBLE_IN_WORDS[kind], detail, until].filter(Boolean).join(" ");
    }
    case "cooling_down":
      return `It rests until ${iso(standing.untilMs)}: ${standing.reason}.`;
    case "not_schedulable":
      return "It takes no new work.";
    case "on_trial":
      return "It failed several times, and a request is finding out whether it is well again.";
  }
}

function iso(atMs: number): string {
  return new Date(atMs).toISOString();
}
