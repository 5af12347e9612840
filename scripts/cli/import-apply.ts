import type { AdminClient } from "./admin-client.ts";
import { Refusal } from "./failure.ts";
import type { ImportedKey } from "./import-keys.ts";
import { startProgress } from "./progress.ts";

/** As many as the API takes in one call. */
const KEYS_A_CALL = 25;

export interface Unwritten {
  id: string;
  name: string;
  message: string;
}

export interface Written {
  created: number;
  /** There already, from a run before or by other ways: left as it is. */
  there: number;
  failed: Unwritten[];
}

interface ImportAnswer {
  imported: number;
  there: number;
  refused: Unwritten[];
  recognisesImportedKeys: boolean;
}

/** Makes accounts under the ids that they have elsewhere. May be run again: what is there stays. */
export async function writeAccounts(
  api: AdminClient,
  accounts: readonly (Record<string, unknown> & { id: string; name: string })[],
): Promise<Written> {
  const written: Written = { created: 0, there: 0, failed: [] };
  const progress = startProgress("Accounts", accounts.length);
  for (const account of accounts) {
    try {
      await api.call("POST", "/admin/claude-accounts", account);
      written.created += 1;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.code === "conflict") written.there += 1;
      else if (error.code !== "bad_request") throw error;
      else {
        const { id, name } = account;
        written.failed.push({ id, name, message: error.message });
      }
    }
    progress.step(1);
  }
  progress.end();
  return written;
}

/** Writes keys as they are, by their hashes. May be run again: the same and newer versions stay. */
export async function writeKeys(
  api: AdminClient,
  keys: readonly ImportedKey[],
): Promise<Written & { recognisesImportedKeys: boolean | null }> {
  const written: Written = { created: 0, there: 0, failed: [] };
  let recognisesImportedKeys: boolean | null = null;
  const progress = startProgress("Keys", keys.length);
  for (let at = 0; at < keys.length; at += KEYS_A_CALL) {
    const chunk = keys.slice(at, at + KEYS_A_CALL);
    const answer = await api.call<ImportAnswer>("POST", "/admin/api-keys/import", { keys: chunk });
    written.created += answer.imported;
    written.there += answer.there;
    written.failed.push(...answer.refused);
    recognisesImportedKeys = answer.recognisesImportedKeys;
    progress.step(chunk.length);
  }
  progress.end();
  return { ...written, recognisesImportedKeys };
}
