import { readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { isSecureUrl, SECURE_URL_WORDS } from "../../src/own-network.ts";
import { DEFAULT_STATE_DIR, projectDir } from "../host/project.ts";
import { givenValues } from "../host/settings.ts";
import { usageFailure } from "./failure.ts";

export const KEY_BINDING = "RELAY_KEYS";
/** What the last build worked out from wrangler.toml: reading it spares loading wrangler, 1.3 s. */
const BUILT_OPTIONS = "dist/worker/miniflare-options.json";

/** Where relay keys are kept. */
export type KeyStorePlace =
  | { kind: "local"; stateDir: string; namespaceId: string }
  | { kind: "remote" }
  | { kind: "upstash"; url: string; token: string };

export type StoreKind = "kv" | "upstash";

/** What wrangler.toml says of the key store. */
interface StoreConfig {
  /** The name of the namespace in a local store. */
  namespaceId: string;
  keyStore: string;
}

/**
 * Finds the store that the relay of this folder uses.
 *
 * @param kind instead of what KEY_STORE says
 * @param isRemote the deployed namespace instead of the one on this machine
 */
export async function findKeyStore(isRemote: boolean, kind?: StoreKind): Promise<KeyStorePlace> {
  const values = givenValues(process.env);
  const config = await readStoreConfig();
  const wanted = kind ?? values.KEY_STORE ?? config.keyStore;
  if (wanted === "upstash") return upstashOf(values);
  if (wanted !== "kv") throw usageFailure("KEY_STORE must be one of: kv, upstash.");
  if (isRemote) return { kind: "remote" };
  const stateDir = resolve(projectDir, values.RELAY_STATE_DIR ?? DEFAULT_STATE_DIR);
  return { kind: "local", stateDir, namespaceId: config.namespaceId };
}

/** The place in words, without anything secret. */
export function placeText(place: KeyStorePlace): string {
  switch (place.kind) {
    case "local":
      return `Workers KV on this machine (${place.stateDir})`;
    case "remote":
      return "Workers KV at Cloudflare";
    case "upstash":
      return `Upstash Redis at ${new URL(place.url).host}`;
  }
}

function upstashOf(values: ReturnType<typeof givenValues>): KeyStorePlace {
  const url = values.UPSTASH_REDIS_REST_URL ?? "";
  const token = values.UPSTASH_REDIS_REST_TOKEN ?? "";
  if (url === "" || token === "") {
    throw usageFailure(
      "The keys are in Upstash Redis, which needs UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN:\nin the environment or in .dev.vars.",
    );
  }
  if (!isSecureUrl(url)) {
    throw usageFailure(`UPSTASH_REDIS_REST_URL must be ${SECURE_URL_WORDS}.`);
  }
  return { kind: "upstash", url, token };
}

async function readStoreConfig(): Promise<StoreConfig> {
  const config = join(projectDir, "wrangler.toml");
  const built = join(projectDir, BUILT_OPTIONS);
  const builtAt = statSync(built, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (builtAt > statSync(config).mtimeMs) {
    try {
      return storeConfigOf(JSON.parse(readFileSync(built, "utf8")));
    } catch {
      // A build that runs just now replaces the file: wrangler.toml itself is never in doubt.
    }
  }
  const { unstable_readConfig } = await import("wrangler");
  // With its warnings, as of missing secrets, the first key of a fresh clone would look like a fault.
  const { kv_namespaces, vars } = unstable_readConfig({ config }, { hideWarnings: true });
  const bound = kv_namespaces.find(
    (namespace: { binding: string }) => namespace.binding === KEY_BINDING,
  );
  // As wrangler names a namespace on this machine.
  const id = bound?.preview_id ?? bound?.id ?? KEY_BINDING;
  return storeConfigOf({ kvNamespaces: { [KEY_BINDING]: id }, bindings: vars });
}

function storeConfigOf(options: { kvNamespaces?: unknown; bindings?: unknown }): StoreConfig {
  const namespaces = (options.kvNamespaces ?? {}) as Record<string, string | { id?: string }>;
  const { KEY_STORE = "kv" } = (options.bindings ?? {}) as { KEY_STORE?: string };
  const namespace = namespaces[KEY_BINDING];
  const id = typeof namespace === "string" ? namespace : namespace?.id;
  return { namespaceId: id ?? KEY_BINDING, keyStore: KEY_STORE };
}
