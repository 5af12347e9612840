import { parseRosterRow, type RosterRow } from "../accounts/roster-row.ts";
import { callObject } from "../durable-call.ts";
import type { KeyRecord } from "../keys/key-record.ts";
import { KEY_PAGE_MAX } from "../keys/key-store.ts";
import type { AdminContext } from "./envelope.ts";

/** So many keys are looked at for an overview; each page is one operation of the key store. */
const MAX_KEY_PAGES = 10;

/** The relay keys, as far as an overview looks. */
export interface ListedKeys {
  keys: KeyRecord[];
  /** False where there are more than were looked at. */
  all: boolean;
}

export async function listedKeys(c: AdminContext): Promise<ListedKeys> {
  const { keyStore } = c.get("services");
  const keys: KeyRecord[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < MAX_KEY_PAGES; page += 1) {
    const listed = await keyStore.list({ cursor, limit: KEY_PAGE_MAX });
    keys.push(...listed.keys);
    cursor = listed.cursor;
    if (cursor === null) break;
  }
  return { keys, all: cursor === null };
}

export async function keyNames(c: AdminContext): Promise<Map<string, string>> {
  const { keys } = await listedKeys(c);
  return new Map(keys.map(({ id, name }) => [id, name]));
}

export async function listedAccounts(c: AdminContext): Promise<RosterRow[]> {
  const { rows } = await callObject(c.get("services").fleet, (fleet) => fleet.snapshot(null));
  return (rows ?? []).map(parseRosterRow);
}

export async function accountNames(c: AdminContext): Promise<Map<string, string>> {
  return new Map((await listedAccounts(c)).map(({ id, name }) => [id, name]));
}
