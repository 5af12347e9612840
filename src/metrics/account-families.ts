import { type RosterRow, type Standing, standingOf } from "../accounts/roster-row.ts";
import { isLive } from "../upstream/rate-limits.ts";
import type { Family, Sample } from "./exposition.ts";

/** Every state of an account; each is told, also where no account is in it. */
const STATES = [
  "ready",
  "cooling_down",
  "needs_relogin",
  "credential_rejected",
  "spend_limited",
  "org_disabled",
  "disabled",
  "expired",
  "no_egress",
  "other_encryption_key",
] as const;

type AccountState = (typeof STATES)[number];

const MS_A_SECOND = 1_000;

export interface AccountsView {
  rows: readonly RosterRow[];
  /** Whether a credential that was sealed under a key of this name can be opened. */
  knowsKey(name: string): boolean;
  canReachProxies: boolean;
  nowMs: number;
}

/** The roster as it is now. */
export function accountFamilies({
  rows,
  knowsKey,
  canReachProxies,
  nowMs,
}: AccountsView): Family[] {
  const states = rows.map((row) => ({
    row,
    state: knowsKey(row.sealedUnder)
      ? stateOf(standingOf(row, "", nowMs, canReachProxies))
      : ("other_encryption_key" as const),
  }));
  const windows = rows.flatMap((row) =>
    Object.entries(row.windows)
      .filter(([, window]) => isLive(window, nowMs))
      .map(([name, window]) => ({ labels: { account: row.id, window: name }, window })),
  );
  return [
    {
      name: "relay_accounts",
      type: "gauge",
      help: "Accounts by state. One that rests for some models only is ready.",
      samples: STATES.map((state) => ({
        labels: { state },
        value: states.filter((account) => account.state === state).length,
      })),
    },
    {
      name: "relay_account_info",
      type: "gauge",
      help: "Always 1: the name and the kind of credential behind an account's id.",
      samples: rows.map(({ id, name, kind }) => ({
        labels: { account: id, name, credential: kind },
        value: 1,
      })),
    },
    {
      name: "relay_account_ready",
      type: "gauge",
      help: "Whether an account can serve now: 1 or 0.",
      samples: states.map(({ row, state }) => ({
        labels: { account: row.id },
        value: state === "ready" ? 1 : 0,
      })),
    },
    {
      name: "relay_account_window_utilisation_ratio",
      type: "gauge",
      help: "How much of a limit's window is used, as upstream told last. Ended windows are not told.",
      samples: windows.flatMap(({ labels, window }): Sample[] =>
        window.utilisation === undefined ? [] : [{ labels, value: window.utilisation }],
      ),
    },
    {
      name: "relay_account_window_reset_timestamp_seconds",
      type: "gauge",
      help: "When a limit's window ends, in unix time.",
      samples: windows.flatMap(({ labels, window }): Sample[] =>
        window.resetAtMs === undefined ? [] : [{ labels, value: window.resetAtMs / MS_A_SECOND }],
      ),
    },
    {
      name: "relay_account_token_expiry_timestamp_seconds",
      type: "gauge",
      help: "When an account's access token runs out, in unix time, where it does.",
      samples: rows.flatMap(({ id, credentialExpiresAtMs }): Sample[] =>
        credentialExpiresAtMs === null
          ? []
          : [{ labels: { account: id }, value: credentialExpiresAtMs / MS_A_SECOND }],
      ),
    },
  ];
}

function stateOf(standing: Standing): AccountState {
  return standing.kind === "trouble" ? standing.trouble.kind : standing.kind;
}
