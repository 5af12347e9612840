import * as objects from "./index.js";

/**
 * The relay as it is, and beside it a door to its objects that no deployed one has: some are measured
 * alone, without the Worker's work before them.
 */
export * from "./index.js";
export { default } from "./index.js";

const exchanged = { calls: 0, admissions: 0 };

/** Counts how many calls its Worker makes. */
export class KeyMeter extends objects.KeyMeter {
  exchange(batch) {
    exchanged.calls += 1;
    exchanged.admissions += batch.admissions.length;
    return super.exchange(batch);
  }
}

/** Takes rows at once: months of requests, told one by one, would take longer than the benchmark. */
export class UsageLedger extends objects.UsageLedger {
  runSql(sql, bindings) {
    return { rowsWritten: this.ctx.storage.sql.exec(sql, ...bindings).rowsWritten };
  }

  /** What its alarm does, now. */
  tidy() {
    return this.alarm();
  }

  bytes() {
    return this.ctx.storage.sql.databaseSize;
  }
}

/** Kept here before they are made, so that reading them from the request is no part of the time. */
let prepared = [];

export const Probe = {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    switch (pathname) {
      case "/exchanged":
        return Response.json(exchanged);
      case "/call":
        return Response.json((await called(env, await request.json())) ?? null);
      case "/prepare":
        prepared = await request.json();
        return Response.json(null);
      case "/run":
        await run(env, prepared, Number(searchParams.get("atOnce")));
        return Response.json(null);
      default:
        return new Response(null, { status: 404 });
    }
  },
};

async function run(env, calls, atOnce) {
  let next = 0;
  const some = async () => {
    while (next < calls.length) {
      next += 1;
      await called(env, calls[next - 1]);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, some));
}

function called(env, { binding, name, method, args }) {
  const namespace = env[binding];
  return namespace.get(namespace.idFromName(name))[method](...args);
}
