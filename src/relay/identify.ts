import { clientNetwork } from "../client-network.ts";
import { hashKey, isKeyShape } from "../keys/key-format.ts";
import { type KeyRecord, markOf } from "../keys/key-record.ts";
import { fail, ok, type Result } from "../result.ts";
import type { Refusal } from "./refusal.ts";
import type { Services } from "./services.ts";

const BEARER = /^bearer +/i;

/** A key that a request showed. */
export interface ShownKey {
  record: KeyRecord;
  /** Which of the key's secrets it was. */
  mark: string;
}

/**
 * Step 1: whose request is this? The key's own switches are judged by its meter, which knows of a
 * revocation before the key store does.
 */
export async function identify(
  headers: Headers,
  services: Pick<Services, "keys" | "importedKeys" | "failedKeys" | "config">,
): Promise<Result<ShownKey, Refusal>> {
  const { keys, importedKeys, failedKeys, config } = services;
  const plainKey = keyFrom(headers);
  if (plainKey === null) return fail({ kind: "key_missing" });
  if (!isKeyShape(plainKey)) return fail({ kind: "key_malformed" });
  const ownHash = await hashKey(plainKey);
  const fresh = keys.peek(ownHash);
  if (fresh !== null) return ok({ record: fresh, mark: markOf(ownHash) });
  const knownHash = importedKeys?.known(ownHash);
  const hash = knownHash ?? ownHash;
  if (knownHash !== undefined) {
    const imported = keys.peek(knownHash);
    if (imported !== null) return ok({ record: imported, mark: markOf(knownHash) });
  }
  const network = clientNetwork(headers, config.clientAddressHeader);
  if (!keys.hasSeen(hash) && !failedKeys.mayLookUp(network))
    return fail({ kind: "too_many_wrong_keys" });
  let shown = hash;
  let lookup = await keys.find(hash);
  if (lookup.kind === "unknown" && importedKeys !== null && knownHash === undefined) {
    shown = await importedKeys.hash(plainKey);
    lookup = await keys.find(shown);
    if (lookup.kind === "found") importedKeys.found(ownHash, shown);
  }
  switch (lookup.kind) {
    case "found":
      return ok({ record: lookup.record, mark: markOf(shown) });
    case "unknown":
      await failedKeys.note(network);
      return fail({ kind: "key_unknown" });
    case "unavailable":
      return fail({ kind: "key_store_unavailable" });
  }
}

/** Claude Code may send both headers at once: a relay key in either of them counts. */
function keyFrom(headers: Headers): string | null {
  const candidates = [
    headers.get("x-api-key"),
    headers.get("authorization")?.replace(BEARER, ""),
    headers.get("api-key"),
  ];
  let first: string | null = null;
  for (const candidate of candidates) {
    const key = candidate?.trim() ?? "";
    if (key === "") continue;
    if (isKeyShape(key)) return key;
    first ??= key;
  }
  return first;
}
