import { LATER_SETTINGS, type RosterRow } from "../../src/accounts/roster-row.ts";

/** A roster row of an account that can serve. */
export function rowOf(id: string, patch: Partial<RosterRow> = {}): RosterRow {
  return {
    ...LATER_SETTINGS,
    id,
    name: id,
    description: "",
    tags: [],
    kind: "api_key",
    enabled: true,
    priority: 50,
    hasProxy: false,
    trouble: null,
    coolDowns: [],
    isSuspect: false,
    isHalfOpen: false,
    windows: {},
    generation: 1,
    sealedUnder: "kid",
    createdAtMs: 0,
    credentialExpiresAtMs: null,
    profile: null,
    revision: 1,
    ...patch,
  };
}
