import { allAccounts } from "../accounts/roster.ts";
import { standingOf } from "../accounts/roster-row.ts";
import type { Services } from "../relay/services.ts";
import type { Result } from "../result.ts";
import { relayVersion } from "../version.ts";

/** Anyone may ask: an answer is kept this long, so that asking costs nothing. */
const KEEP_MS = 2_000;

export interface Health {
  status: "ok" | "unavailable";
  version: string;
  keyStore: "kv" | "upstash" | "unavailable";
  accounts: {
    usable: number;
    total: number;
    /** Accounts whose credential was stored under an ENCRYPTION_KEY that this relay was not given. */
    otherEncryptionKey: number;
  };
  message: string;
}

const kept = new WeakMap<Services, { health: Health; untilMs: number }>();

/** `GET /health`: 200 where messages can be relayed, else 503 with the reason in words. */
export async function healthAnswer(services: Result<Services, string[]>): Promise<Response> {
  if (!services.ok) {
    const body = {
      status: "unavailable",
      version: relayVersion,
      message: services.error.join(" "),
    };
    return Response.json(body, { status: 503, headers: NO_STORE });
  }
  const known = kept.get(services.value);
  const fresh = known !== undefined && known.untilMs > Date.now();
  const health = fresh ? known.health : await examine(services.value);
  if (!fresh) kept.set(services.value, { health, untilMs: Date.now() + KEEP_MS });
  return Response.json(health, { status: health.status === "ok" ? 200 : 503, headers: NO_STORE });
}

const METERS_DOWN =
  "No request can be let in: the meters of the keys do not answer, or cannot write. Look whether the disk is full, or the platform's storage; the log has the error.";
const NO_STORE = { "cache-control": "no-store" };

async function examine(services: Services): Promise<Health> {
  const [store, rows, vault] = await Promise.all([
    services.keyStore.findById("health").then(
      () => services.keyStore.kind,
      () => "unavailable" as const,
    ),
    allAccounts(services.fleet).catch(() => null),
    services.vault(),
  ]);
  const nowMs = Date.now();
  const { canReachProxies } = services.egress;
  const foreign = (rows ?? []).filter((row) => !vault.knows(row.sealedUnder));
  const usable = (rows ?? []).filter(
    (row) =>
      vault.knows(row.sealedUnder) && standingOf(row, "", nowMs, canReachProxies).kind === "ready",
  );
  const accounts = {
    usable: usable.length,
    total: rows?.length ?? 0,
    otherEncryptionKey: foreign.length,
  };
  const areMetersDown = services.meterLink.isDown;
  const serving = store !== "unavailable" && usable.length > 0 && !areMetersDown;
  return {
    status: serving ? "ok" : "unavailable",
    version: relayVersion,
    keyStore: store,
    accounts,
    message: areMetersDown ? METERS_DOWN : inWords(store, rows !== null, accounts),
  };
}

function inWords(
  store: Health["keyStore"],
  fleetAnswers: boolean,
  { usable, total, otherEncryptionKey }: Health["accounts"],
): string {
  if (store === "unavailable") return "The store of relay keys does not answer.";
  if (!fleetAnswers) return "The list of accounts cannot be read.";
  if (total === 0) return "No account has been added yet.";
  if (otherEncryptionKey > 0) {
    return `${otherEncryptionKey} of ${total} accounts were stored under another ENCRYPTION_KEY. Put that key back, or into ENCRYPTION_KEY_PREVIOUS; nothing was changed.`;
  }
  if (usable === 0) return "No account can serve now.";
  return usable === total ? "Ready." : `${usable} of ${total} accounts can serve.`;
}
