import { useMemo } from "preact/hooks";
import { listAccounts } from "../../api/accounts.ts";
import { readUsageCosts } from "../../api/usage.ts";
import { useResource } from "../../ui/use-resource.ts";

/** As many keys as the relay names at once: the dearest of the last thirty days. */
const KEYS_MAX = 1_000;
/** Of an id whose name is not known. */
const TELLING_CHARS = 8;

export interface Names {
  accounts: ReadonlyMap<string, string>;
  keys: ReadonlyMap<string, string>;
}

/** What accounts and keys are called; those that are gone, or were long not used, have no name here. */
export function useNames(): Names {
  const accounts = useResource(listAccounts, []);
  const costs = useResource(
    (signal) => readUsageCosts({ timeZone: "UTC", limit: KEYS_MAX }, signal),
    [],
  );
  return useMemo(
    () => ({
      accounts: new Map(accounts.value?.accounts.map(({ id, name }) => [id, name])),
      keys: new Map(
        costs.value?.byKey.flatMap(({ keyId, name }): [string, string][] =>
          name === null ? [] : [[keyId, name]],
        ),
      ),
    }),
    [accounts.value, costs.value],
  );
}

/** A name, or as much of the id as tells it from others. */
export function nameIn(names: ReadonlyMap<string, string>, id: string): string {
  return names.get(id) ?? `${id.slice(0, TELLING_CHARS)}…`;
}
