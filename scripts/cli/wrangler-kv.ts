import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KVNamespace } from "@cloudflare/workers-types";
import { Failure } from "./failure.ts";
import { KEY_BINDING } from "./key-store-place.ts";
import { runWrangler } from "./wrangler-run.ts";

const FILE_MODE = 0o600;
/** Cloudflare reads no more values at once. */
const READ_MAX = 100;

/** How wrangler is called; the defaults are the project's own wrangler and Cloudflare. */
export interface WranglerTarget {
  /** A script that Node.js runs. */
  script?: string;
  /** Which store: `--remote`, or `--local` with a folder. */
  where?: readonly string[];
}

interface ListedKey {
  name: string;
  metadata?: unknown;
}

interface Write {
  value: string;
  metadata?: unknown;
  expiration_ttl?: number;
}

/**
 * The deployed namespace, through `wrangler kv …`: wrangler has the login, and Cloudflare's API
 * needs no client of our own. Each call takes seconds, so reads are remembered and writes wait for
 * `flush`, which sends all of them at once. Values and names go through files, never arguments.
 */
export class WranglerKv {
  readonly #script: string | undefined;
  readonly #where: readonly string[];
  /** Read or written by this process; null: not there. */
  readonly #values = new Map<string, string | null>();
  readonly #lists = new Map<string, ListedKey[]>();
  readonly #writes = new Map<string, Write | null>();

  constructor({ script, where = ["--remote"] }: WranglerTarget = {}) {
    this.#script = script;
    this.#where = where;
  }

  async get(name: string | string[], _type: "json"): Promise<unknown> {
    const names = [name].flat();
    await this.readAhead(names);
    const parsed = names.map((each): [string, unknown] => {
      const value = this.#values.get(each) ?? null;
      return [each, value === null ? null : JSON.parse(value)];
    });
    return Array.isArray(name) ? new Map(parsed) : parsed[0]?.[1];
  }

  async put(
    name: string,
    value: string,
    options: { metadata?: unknown; expirationTtl?: number } = {},
  ): Promise<void> {
    const { metadata, expirationTtl } = options;
    this.#values.set(name, value);
    this.#lists.clear();
    this.#writes.set(name, {
      value,
      ...(metadata === undefined ? {} : { metadata }),
      ...(expirationTtl === undefined ? {} : { expiration_ttl: expirationTtl }),
    });
  }

  async delete(name: string): Promise<void> {
    this.#values.set(name, null);
    this.#lists.clear();
    this.#writes.set(name, null);
  }

  /** The whole of a prefix is read once; pages are cut from it. A cursor is the last name shown. */
  async list(options: { prefix: string; limit: number; cursor?: string }) {
    const { prefix, limit, cursor } = options;
    const all = this.#lists.get(prefix) ?? (await this.#listAll(prefix));
    this.#lists.set(prefix, all);
    const rest = cursor === undefined ? all : all.filter(({ name }) => name > cursor);
    const keys = rest.slice(0, limit);
    const last = keys.at(-1)?.name;
    return rest.length > limit && last !== undefined
      ? { keys, list_complete: false as const, cursor: last }
      : { keys, list_complete: true as const };
  }

  /** Reads what is not known yet, up to {@link READ_MAX} values a call. */
  async readAhead(names: readonly string[]): Promise<void> {
    const missing = [...new Set(names)].filter((name) => !this.#values.has(name));
    for (let at = 0; at < missing.length; at += READ_MAX) {
      const chunk = missing.slice(at, at + READ_MAX);
      const read = await this.#json<Record<string, unknown>>("bulk", "get", chunk);
      for (const name of chunk) this.#values.set(name, textOf(read[name]));
    }
  }

  /** What was put first, what was deleted last: a key that is half there is found, and refused. */
  async flush(): Promise<void> {
    const writes = [...this.#writes];
    this.#writes.clear();
    const put = writes.flatMap(([key, write]) => (write === null ? [] : [{ key, ...write }]));
    const gone = writes.flatMap(([key, write]) => (write === null ? [key] : []));
    if (put.length > 0) await this.#run(["bulk", "put"], put);
    if (gone.length > 0) await this.#run(["bulk", "delete", "--force"], gone);
  }

  async #listAll(prefix: string): Promise<ListedKey[]> {
    const listed = asJson<ListedKey[]>(await this.#run(["key", "list", "--prefix", prefix]));
    return listed.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async #json<T>(noun: string, verb: string, content: unknown): Promise<T> {
    return asJson<T>(await this.#run([noun, verb], content));
  }

  /** @param content goes through a file that only this user can read */
  async #run(command: string[], content?: unknown): Promise<string> {
    const dir = mkdtempSync(join(tmpdir(), "relay-keys-"));
    try {
      const file = join(dir, "keys.json");
      if (content !== undefined) writeFileSync(file, JSON.stringify(content), { mode: FILE_MODE });
      const args = [
        ...["kv", ...command, ...(content === undefined ? [] : [file])],
        ...["--binding", KEY_BINDING, ...this.#where],
      ];
      const failing = "wrangler could not reach the keys";
      return await runWrangler(args, { script: this.#script, failing });
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }
}

/** The part of a namespace that the key store uses. */
export function asKv(kv: WranglerKv): KVNamespace {
  return kv as unknown as KVNamespace;
}

/** Cloudflare answers with the values themselves, the local store with objects around them. */
function textOf(read: unknown): string | null {
  if (typeof read === "string") return read;
  if (typeof read !== "object" || read === null) return null;
  const { value } = read as { value?: unknown };
  return typeof value === "string" ? value : null;
}

/** Lines of wrangler's own may stand before the answer. */
function asJson<T>(output: string): T {
  const start = output.search(/^[[{]/m);
  try {
    return JSON.parse(start === -1 ? output : output.slice(start)) as T;
  } catch {
    throw new Failure("wrangler answered in a way that this CLI cannot read.");
  }
}
