import { Failure, usageFailure } from "./failure.ts";
import { plain } from "./text-width.ts";

const CONNECT_MAX_MS = 10_000;
const SCAN_COUNT = 500;
/** Hashes that are read in one round trip. */
const READ_AT_ONCE = 100;

export type Fields = Record<string, string>;
type Client = Awaited<ReturnType<typeof makeClient>>;

/** Reads a Redis and nothing else: no command that writes stands in this file. */
export class ImportSource {
  readonly #client: Client;

  private constructor(client: Client) {
    this.#client = client;
  }

  /** @param password instead of one in the address @throws Failure where it cannot be read */
  static async open(address: string, password: string | undefined): Promise<ImportSource> {
    const url = checkedAddress(address);
    const client = await makeClient(url, password);
    // Every command reports its own failure.
    client.on("error", () => {});
    try {
      await client.connect();
      await client.ping();
    } catch (error) {
      client.destroy();
      throw unreadable(url, error);
    }
    return new ImportSource(client);
  }

  /** Names that match, each once, without holding up those who use the Redis. */
  async names(pattern: string): Promise<string[]> {
    const names = new Set<string>();
    for await (const page of this.#client.scanIterator({ MATCH: pattern, COUNT: SCAN_COUNT })) {
      for (const name of page) names.add(name);
    }
    return [...names].sort();
  }

  /** The hashes with these names; one that is no hash any more, or is gone, is null. */
  async hashes(names: readonly string[]): Promise<(Fields | null)[]> {
    const read: (Fields | null)[] = [];
    for (let at = 0; at < names.length; at += READ_AT_ONCE) {
      const chunk = names.slice(at, at + READ_AT_ONCE);
      const found = await Promise.allSettled(chunk.map((name) => this.#client.hGetAll(name)));
      for (const each of found) {
        const fields = each.status === "fulfilled" ? { ...each.value } : {};
        read.push(Object.keys(fields).length === 0 ? null : fields);
      }
    }
    return read;
  }

  async members(name: string): Promise<string[]> {
    return (await this.#client.sMembers(name)).sort();
  }

  async texts(names: readonly string[]): Promise<(string | null)[]> {
    const read: (string | null)[] = [];
    for (let at = 0; at < names.length; at += READ_AT_ONCE) {
      read.push(...(await this.#client.mGet(names.slice(at, at + READ_AT_ONCE))));
    }
    return read;
  }

  close(): void {
    this.#client.destroy();
  }
}

async function makeClient(url: URL, password: string | undefined) {
  // Eight hundred modules, which every other command would load for nothing.
  const { createClient } = await import("redis");
  return createClient({
    url: url.href,
    ...(password === undefined ? {} : { password }),
    // Also of versions that know no other.
    RESP: 2,
    socket: { connectTimeout: CONNECT_MAX_MS, reconnectStrategy: false },
    disableOfflineQueue: true,
    // Its name and version are nobody's business there.
    disableClientInfo: true,
  });
}

function checkedAddress(address: string): URL {
  const url = URL.parse(address);
  if (url === null || (url.protocol !== "redis:" && url.protocol !== "rediss:")) {
    throw usageFailure("--redis must be an address such as redis://127.0.0.1:6379/0.");
  }
  return url;
}

function unreadable({ host }: URL, error: unknown): Failure {
  const reason = error instanceof Error ? plain(error.message.split("\n", 1)[0] ?? "") : "unknown";
  const isLocked = /NOAUTH|WRONGPASS|invalid.+password|NOPERM/i.test(reason);
  return new Failure(
    isLocked
      ? `The Redis at ${host} wants a password, or another one. Set CRS_REDIS_PASSWORD to it.`
      : `The Redis at ${host} cannot be read (${reason || "no connection"}). Check --redis and that it runs.`,
  );
}
