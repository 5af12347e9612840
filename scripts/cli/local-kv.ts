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
/** Operations in one call: some hundreds of kilobytes of records. */
const OPERATIONS_MAX = 500;

/**
 * Carries out operations beside the store. Each one alone, called from this process, would take
 * three times as long. A bulk read answers with a Map, which JSON does not know.
 */
const WORKER = `export default {
  async fetch(request, { ${KEY_BINDING}: kv }) {
    const operations = await request.json();
    const outcomes = await Promise.all(operations.map(async ([method, ...args]) => {
      try {
        const value = await kv[method](...args);
        return value instanceof Map ? { entries: [...value] } : { value };
      } catch (error) {
        return { error: String(error) };
      }
    }));
    return Response.json(outcomes);
  },
};`;

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
      script: WORKER,
      kvNamespaces: { [KEY_BINDING]: place.namespaceId },
    }),
  );
  const kv = new LocalKv(async (operations) => {
    const answer = await miniflare.dispatchFetch("http://127.0.0.1", {
      method: "POST",
      body: JSON.stringify(operations),
    });
    return (await answer.json()) as Outcome[];
  });
  return { kv: kv as unknown as KVNamespace, close: () => miniflare.dispose() };
}

type Operation = ["get" | "put" | "delete" | "list", ...unknown[]];
type Outcome = { value?: unknown } | { entries: [string, unknown][] } | { error: string };

interface Asked {
  operation: Operation;
  /** When it is given up. */
  untilMs: number;
  settle(value: unknown): void;
  fail(error: Error): void;
}

/**
 * The part of a namespace that the key store uses. What is asked for in one go is sent together.
 *
 * The store refuses an operation while another process writes: a relay, or another command. Each
 * operation is repeated until it is let through; all of them may be.
 */
export class LocalKv {
  readonly #send: (operations: Operation[]) => Promise<Outcome[]>;
  #waiting: Asked[] = [];

  constructor(send: (operations: Operation[]) => Promise<Outcome[]>) {
    this.#send = send;
  }

  get(name: string | string[], type: "json"): Promise<unknown> {
    return this.#ask(["get", name, type]);
  }

  put(name: string, value: string, options: object = {}): Promise<unknown> {
    return this.#ask(["put", name, value, options]);
  }

  delete(name: string): Promise<unknown> {
    return this.#ask(["delete", name]);
  }

  list(options: object): Promise<unknown> {
    return this.#ask(["list", options]);
  }

  #ask(operation: Operation): Promise<unknown> {
    return new Promise((settle, fail) => {
      this.#add({ operation, untilMs: Date.now() + BUSY_LIMIT_MS, settle, fail });
    });
  }

  #add(asked: Asked): void {
    if (this.#waiting.push(asked) === 1) setImmediate(() => this.#flush());
    else if (this.#waiting.length === OPERATIONS_MAX) this.#flush();
  }

  #flush(): void {
    const asked = this.#waiting;
    this.#waiting = [];
    if (asked.length > 0) void this.#carryOut(asked);
  }

  async #carryOut(asked: Asked[]): Promise<void> {
    let outcomes: Outcome[];
    try {
      outcomes = await this.#send(asked.map(({ operation }) => operation));
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(String(error));
      for (const { fail } of asked) fail(reason);
      return;
    }
    asked.forEach((each, index) => {
      const outcome = outcomes[index] ?? { error: "no answer" };
      if (!("error" in outcome)) {
        each.settle("entries" in outcome ? new Map(outcome.entries) : outcome.value);
      } else if (Date.now() >= each.untilMs) each.fail(new Error(outcome.error));
      // Not all at the same moment again.
      else void sleep(BUSY_PAUSE_MS * (1 + Math.random())).then(() => this.#add(each));
    });
  }
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
