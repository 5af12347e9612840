import { mkdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { KVNamespace } from "@cloudflare/workers-types";
import { STORE_DIR } from "../host/project.ts";
import { ensureSecrets, hasData } from "../host/secrets-file.ts";
import { givenValues } from "../host/settings.ts";
import { KEY_BINDING } from "./key-store-place.ts";

const DIR_MODE = 0o700;
/** Another process holds the store for milliseconds at a time; a batch of one does so often. */
const BUSY_LIMIT_MS = 10_000;
const BUSY_PAUSE_MS = 20;

/**
 * Workers KV on this machine: the store that `npm start` and `wrangler kv … --local` use, whether a
 * relay runs on it or not.
 *
 * Not by wrangler's getPlatformProxy: that takes twice as long, opens the Durable Objects of a
 * running relay as well, and warns of their missing classes past every log setting.
 */
export async function openLocalKv(place: {
  stateDir: string;
  namespaceId: string;
}): Promise<{ kv: KVNamespace; close(): Promise<void> }> {
  mkdirSync(place.stateDir, { recursive: true, mode: DIR_MODE });
  ensureEncryptionKey(place.stateDir);
  // Miniflare asks a server of Cloudflare's for sample request metadata unless told not to.
  process.env.CLOUDFLARE_CF_FETCH_ENABLED = "false";
  // Loaded here only: it takes half a second, which other commands need not wait for.
  const { convertV4MiniflareOptions, Miniflare, NoOpLog } = await import("miniflare");
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      cf: false,
      telemetry: { enabled: false },
      log: new NoOpLog(),
      resourcePersistencePath: join(realpathSync(place.stateDir), STORE_DIR),
      modules: true,
      script: "export default {}",
      kvNamespaces: { [KEY_BINDING]: place.namespaceId },
    }),
  );
  try {
    // Miniflare's own type of a namespace differs in name only.
    const kv = (await miniflare.getKVNamespace(KEY_BINDING)) as unknown as KVNamespace;
    return { kv: patient(kv), close: () => miniflare.dispose() };
  } catch (error) {
    await miniflare.dispose();
    throw error;
  }
}

/**
 * The store refuses an operation while another process writes: a relay, or another command. Each
 * operation is repeated until it is let through; all of them may be.
 */
function patient(kv: KVNamespace): KVNamespace {
  return new Proxy(kv, {
    get(target, property) {
      const method: unknown = Reflect.get(target, property);
      if (typeof method !== "function") return method;
      return async (...args: unknown[]) => {
        const until = Date.now() + BUSY_LIMIT_MS;
        for (;;) {
          try {
            return await method.apply(target, args);
          } catch (error) {
            if (Date.now() >= until) throw error;
          }
          // Not all at the same moment again.
          await sleep(BUSY_PAUSE_MS * (1 + Math.random()));
        }
      };
    },
  });
}

/**
 * A state that holds data but no encryption key is one whose key was lost: no relay starts on it.
 * So the key is made with the first data; the admin and the password are left to the first start,
 * which shows them.
 */
function ensureEncryptionKey(stateDir: string): void {
  if (hasData(stateDir)) return;
  const { ENCRYPTION_KEY } = givenValues(process.env);
  const later = { JWT_SECRET: "-", ADMIN_USERNAME: "-", ADMIN_PASSWORD_HASH: "-" };
  ensureSecrets({
    stateDir,
    given: { ...later, ...(ENCRYPTION_KEY === undefined ? {} : { ENCRYPTION_KEY }) },
  });
}
