import { createServer } from "node:http";
import { json } from "node:stream/consumers";
import { KvEntries } from "./entries.ts";

/**
 * Stands in for Workers KV, which workerd has not: speaks what its binding speaks, from memory. It is
 * a process of its own because on the platform KV is elsewhere, and costs the Worker only the call.
 */
const entries = new KvEntries();
const server = createServer(async (request, response) => {
  const url = new URL(request.url ?? "/", "http://kv");
  const name = decodeURIComponent(url.pathname.slice(1));
  if (request.method === "GET" && name === "") {
    response.end(JSON.stringify(entries.list(url.searchParams)));
  } else if (request.method === "GET") {
    const entry = entries.get(name);
    if (entry === null) response.writeHead(404);
    else if (entry.metadata !== null) response.setHeader("cf-kv-metadata", entry.metadata);
    response.end(entry?.value);
  } else if (request.method === "POST" && name === "bulk/get") {
    const { keys, type } = (await json(request)) as { keys: string[]; type?: string };
    response.end(JSON.stringify(entries.getMany(keys, type === "json")));
  } else if (request.method === "PUT") {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece);
    const metadata = request.headers["cf-kv-metadata"];
    entries.put(name, {
      value: Buffer.concat(pieces).toString("utf8"),
      metadata: typeof metadata === "string" ? metadata : null,
    });
    response.end();
  } else if (request.method === "DELETE") {
    entries.delete(name);
    response.end();
  } else {
    response.writeHead(405).end();
  }
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.send?.({ port: typeof address === "object" ? address?.port : undefined });
});
/** Entries to begin with: some ten thousand keys would take minutes over the admin API. */
process.on("message", (seed: [string, { value: string; metadata: string | null }][]) => {
  for (const [name, entry] of seed) entries.put(name, entry);
  process.send?.({ seeded: seed.length });
});
process.on("disconnect", () => process.exit(0));
