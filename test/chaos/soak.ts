import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { TEAM } from "../../bench/host/population.ts";
import { startRelay } from "../../bench/host/relay.ts";
import { table } from "../../bench/report/table.ts";
import { smallRequest } from "../../bench/scenarios/requests.ts";
import { withStage } from "../../bench/stage.ts";
import { ensureBundle } from "../../scripts/host/bundle.ts";
import { runMain, Stop } from "../../scripts/host/stop.ts";
import { Audit, type Kept } from "./conservation.ts";
import type { Seen } from "./load.ts";
import { type MeterRows, meterRows } from "./meter-rows.ts";
import { type Sample, sampling } from "./process-sample.ts";
import { OUTER_ROWS } from "./rows/outer.ts";
import { play } from "./run.ts";
import { Stage } from "./stage.ts";

const MINUTE_MS = 60_000;
const DEFAULT_MINUTES = 30;
/** A third of the time for many streams, the rest for faults. */
const STREAMS_SHARE = 1 / 3;
const STREAMS = 2_000;
const EVENT_EVERY_MS = 500;
const BEGIN_OVER_MS = 20_000;
const SAMPLE_EVERY_MS = 2_000;
const FAULT_MS = 3_000;
/** More than that are not kept in mind: the ledger is compared, and they are forgotten. */
const AUDIT_EVERY_REQUESTS = 50_000;
/** For what was in flight to end, and for idle connections to be closed. */
const SETTLE_MS = 20_000;
/** Of one part of the time to another: what a collector of garbage leaves to chance. */
const FLAT_WITHIN = 1.3;
/** Databases of meters that the load opened, and connections that are kept for what comes next. */
const FILES_LEFT_OVER = 32;
/** Under the folder that a runtime keeps its objects in. */
const METERS = "claude-relay-KeyMeter";

/**
 * `npm run soak [-- MINUTES]`: whether memory stays flat, and sockets and leases return to what they
 * were when the load ends.
 */
async function main(): Promise<number> {
  const minutes = Number(process.argv[2] ?? DEFAULT_MINUTES);
  if (!(minutes > 0)) throw new Stop("How many minutes? A number above 0, such as 30.");
  if (process.platform !== "linux") throw new Stop("The soak reads /proc: it needs Linux.");
  const areStreamsFlat = await soakStreams(minutes * STREAMS_SHARE * MINUTE_MS);
  const areFaultsFlat = await soakFaults(minutes * (1 - STREAMS_SHARE) * MINUTE_MS);
  return areStreamsFlat && areFaultsFlat ? 0 : 1;
}

async function soakStreams(forMs: number): Promise<boolean> {
  const bundle = await ensureBundle(console.log);
  return withStage(tmpdir(), async ({ load, upstreamUrl, newDir }) => {
    const dir = newDir();
    const relay = await startRelay({ bundle, dir, upstreamUrl, population: TEAM });
    try {
      const eventsEach = Math.ceil(forMs / EVENT_EVERY_MS);
      console.log(`${STREAMS} streams, an event each ${EVENT_EVERY_MS} ms ...`);
      const runtime = sampling(() => relay.workerd.pid, SAMPLE_EVERY_MS);
      const base = runtime.now();
      const meters = join(dir, "objects", METERS);
      let during: MeterRows | null = null;
      const counting = setTimeout(() => {
        during = meterRows(meters);
      }, BEGIN_OVER_MS);
      const figures = await load.run({
        kind: "streams",
        port: relay.port,
        path: `/v1/messages?answer=paced&every=${EVENT_EVERY_MS}&events=${eventsEach}`,
        body: smallRequest(true),
        callers: relay.callers,
        answerBytes: null,
        streams: STREAMS,
        beginOverMs: BEGIN_OVER_MS,
        eventsEach,
      });
      clearTimeout(counting);
      runtime.stop();
      const running = runtime.samples.filter((_, nth) => nth * SAMPLE_EVERY_MS > BEGIN_OVER_MS);
      await sleep(SETTLE_MS);
      const after = runtime.now();
      const rows = meterRows(meters);
      console.log(`${figures.answers} of ${STREAMS} streams whole, ${figures.wrongCount} wrong.`);
      console.log(`While they ran: ${rowsText(during)}. Afterwards: ${rowsText(rows)}.\n`);
      console.log(`${shown("runtime", base, running, after)}\n`);
      return (
        figures.wrongCount === 0 &&
        rows.rows === STREAMS &&
        rows.open === 0 &&
        isFlat(running) &&
        hasReturned(base, after)
      );
    } finally {
      await relay.stop();
    }
  });
}

async function soakFaults(forMs: number): Promise<boolean> {
  const stage = await Stage.open();
  try {
    const runtime = sampling(() => stage.relay.runtimePid() ?? 0, SAMPLE_EVERY_MS);
    const own = sampling(() => process.pid, SAMPLE_EVERY_MS);
    const books = new Books(stage);
    // What every relay takes up that has served at all.
    const warmUp = { name: "warm-up", allowed: [], strike: () => sleep(FAULT_MS) };
    await books.add((await play(stage, warmUp, FAULT_MS)).seen);
    await books.audit();
    await sleep(SETTLE_MS);
    const base = runtime.now();
    const ownBase = own.now();
    const warmedUp = runtime.samples.length;
    // A killed runtime would begin anew, and nothing could be said of its memory.
    const rows = OUTER_ROWS.filter(({ name }) => !name.startsWith("runtime killed"));
    const endAtMs = Date.now() + forMs;
    let faults = 0;
    let wrong = 0;
    let unrecovered = 0;
    console.log(`Faults for ${Math.round(forMs / MINUTE_MS)} minutes ...`);
    for (const row of cycle(rows)) {
      if (Date.now() >= endAtMs) break;
      const figures = await play(stage, row, FAULT_MS);
      faults += 1;
      wrong += figures.wrong.length;
      for (const one of figures.wrong) {
        console.log(`${row.name}: ${one.sight} ${one.status} ${one.excerpt}`);
      }
      unrecovered += figures.recoveredAfterMs === null ? 1 : 0;
      await books.add(figures.seen);
    }
    runtime.stop();
    own.stop();
    await books.audit();
    const samples = runtime.samples.slice(warmedUp);
    const ownSamples = own.samples.slice(warmedUp);
    await sleep(SETTLE_MS);
    const after = runtime.now();
    const left = meterRows(join(stage.relay.stateDir, "v3/do", METERS));
    const { requests, lost, wrong: wrongRows, estimated, unsettled } = books;
    console.log(
      `${faults} faults, ${requests} requests: ${wrong} not as allowed, ${unrecovered} without recovery; in the ledger ${lost} lost, ${wrongRows} wrong, ${estimated} estimated, ${unsettled} unsettled. Afterwards: ${rowsText(left)}.\n`,
    );
    console.log(`${shown("runtime", base, samples, after)}\n`);
    console.log(shown("the soak itself", ownBase, ownSamples, own.now()));
    const isKept = lost === 0 && wrongRows === 0 && left.open === 0;
    const isWell = wrong === 0 && unrecovered === 0;
    return isWell && isKept && isFlat(samples) && hasReturned(base, after);
  } finally {
    await stage.close();
  }
}

/** What became of everything that was asked, summed up over audits. */
class Books {
  requests = 0;
  lost = 0;
  wrong = 0;
  estimated = 0;
  unsettled = 0;
  readonly #audit: Audit;
  #seen: Seen[] = [];

  constructor(stage: Stage) {
    this.#audit = new Audit(stage);
  }

  async add(seen: readonly Seen[]): Promise<void> {
    this.#seen.push(...seen);
    if (this.#seen.length >= AUDIT_EVERY_REQUESTS) await this.audit();
  }

  async audit(): Promise<void> {
    const ledger = await this.#audit.compare(this.#seen);
    const sum = (field: Exclude<keyof Kept, "row">) =>
      ledger.reduce((all, row) => all + row[field], 0);
    this.requests += this.#seen.length;
    this.lost += sum("lost");
    this.wrong += sum("wrong");
    this.estimated += sum("estimated");
    this.unsettled += sum("unsettled");
    this.#seen = [];
  }
}

function* cycle<T>(items: readonly T[]): Generator<T> {
  for (;;) yield* items;
}

function rowsText(rows: MeterRows | null): string {
  if (rows === null) return "not counted";
  return `${rows.rows} rows in the meters, ${rows.open} leases open`;
}

/** Memory that a runtime has had it keeps; files and sockets it has to give back. */
function hasReturned(base: Sample, after: Sample): boolean {
  return after.files <= base.files + FILES_LEFT_OVER;
}

/** The last third of the time against the middle one: the first is growth to what the load needs. */
function isFlat(samples: readonly Sample[]): boolean {
  const third = Math.floor(samples.length / 3);
  const mean = (part: readonly Sample[]) =>
    part.reduce((sum, { mb }) => sum + mb, 0) / Math.max(1, part.length);
  return mean(samples.slice(2 * third)) <= FLAT_WITHIN * mean(samples.slice(third, 2 * third));
}

function shown(what: string, base: Sample, samples: readonly Sample[], after: Sample): string {
  const third = Math.max(1, Math.floor(samples.length / 3));
  const most = (part: readonly Sample[], field: keyof Sample) =>
    String(Math.round(Math.max(0, ...part.map((sample) => sample[field]))));
  const line = (name: string, part: readonly Sample[]) => [
    name,
    most(part, "mb"),
    most(part, "files"),
  ];
  return table([
    [what, "most MB", "most files and sockets"],
    line("before", [base]),
    line("first third", samples.slice(0, third)),
    line("second third", samples.slice(third, 2 * third)),
    line("last third", samples.slice(2 * third)),
    line("after", [after]),
  ]);
}

await runMain(main);
