import { randomUUID } from "node:crypto";
import { LATER_SETTINGS, type RosterRow } from "../../src/accounts/roster-row.ts";

/** Accounts of several weights, each with windows partly used: nothing is equal, so nothing is short. */
export function roster(accounts: number): RosterRow[] {
  return Array.from({ length: accounts }, (_, index) => ({
    ...LATER_SETTINGS,
    id: randomUUID(),
    name: `account-${index}`,
    description: "",
    tags: [],
    kind: "api_key" as const,
    enabled: true,
    priority: 50,
    weight: 1 + (index % 5),
    hasProxy: false,
    trouble: null,
    coolDowns: [],
    isSuspect: false,
    isHalfOpen: false,
    windows: { "5h": { status: "allowed", utilisation: (index % 80) / 100 } },
    generation: 1,
    sealedUnder: "",
    createdAtMs: 0,
    credentialExpiresAtMs: null,
    profile: null,
    revision: 1,
  }));
}
