import type { RelayAddress } from "./relay-address.ts";
import { callRelay, notThisRelay } from "./relay-call.ts";

/** The answer of `GET /health`; only the first three are always there. */
export interface Health {
  status: string;
  version: string;
  message: string;
  keyStore?: string;
  accounts?: { usable: number; total: number };
}

/** How the relay is; needs no session. @throws Failure where something else answers, or nothing */
export async function relayHealth(address: RelayAddress): Promise<Health> {
  const { status, body } = await callRelay(address, "GET", "/health");
  const isHealth = ["status", "version", "message"].every((name) => typeof body[name] === "string");
  if (!isHealth) throw notThisRelay(address, status);
  return body as unknown as Health;
}
