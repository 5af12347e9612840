import { type Answer, call } from "./client.ts";

/** Which encryption keys are in use, by their names. */
export interface EncryptionKeys {
  current: string;
  previous: string[];
  accounts: { total: number; sealedUnder: Record<string, number> };
}

export interface Resealed {
  total: number;
  sealed: number;
  resealed: number;
  failed: { id: string; name: string; message: string }[];
  /** For the accounts after these; null after the last. */
  cursor: string | null;
}

export function readEncryptionKeys(signal: AbortSignal): Promise<Answer<EncryptionKeys>> {
  return call("GET", "/encryption-key", { signal });
}

export function reseal(cursor: string | null): Promise<Answer<Resealed>> {
  return call("POST", "/encryption-key/reseal", { body: { cursor } });
}
