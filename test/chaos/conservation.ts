import { setTimeout as sleep } from "node:timers/promises";
import { addBill, type Bill, emptyBill } from "../fixtures/fake-upstream/bill.ts";
import { runOutLeases } from "../fixtures/meter-leases.ts";
import { NUMBER_HEADER, type Seen } from "./load.ts";
import type { Stage } from "./stage.ts";

/** What the ledger has of each fault's requests, beside what upstream billed for them. */
export interface Kept {
  row: string;
  /** Sent upstream and billed, and no row of the ledger tells of it. */
  lost: number;
  /** Rows whose figures are less exact than upstream's, and say so. */
  estimated: number;
  unsettled: number;
  /** Rows that differ from upstream's bill and do not say so. */
  wrong: number;
}

interface LedgerRow {
  id: string;
  keyId: string;
  state: "settled" | "unsettled";
  estimated: boolean;
  tokens: Record<"input" | "output" | "cacheWrite5m" | "cacheWrite1h" | "cacheRead", number>;
}

const DAY_MS = 24 * 60 * 60_000;
const dayOf = (atMs: number) => new Date(atMs).toISOString().slice(0, 10);
/** Whatever a row did to the relay's clock. */
const EVER = `from=${dayOf(Date.now() - DAY_MS)}&to=${dayOf(Date.now() + 100 * DAY_MS)}`;
const SETTLED_WITHIN_MS = 30_000;
const DELIVERED_WITHIN_MS = 300_000;
/** Each look at a meter with 50,000 rows is work that its delivery waits for: longer and longer pauses. */
const RETRY_FIRST_MS = 100;
const RETRY_LONGEST_MS = 2_000;

/** Ends all leases as their quarter of an hour would, and compares ledger and upstream by row. */
export async function kept(stage: Stage, seen: readonly Seen[]): Promise<Kept[]> {
  await stage.relay.fake.ledger.settled(SETTLED_WITHIN_MS);
  await stage.kill(() => runOutLeases(stage.relay.stateDir));
  return new Audit(stage).compare(seen);
}

/**
 * Compares ledger and upstream part by part while the relay runs on: what was compared is forgotten at
 * the stand-in, so that a load of any length needs no more memory than one part.
 */
export class Audit {
  readonly #stage: Stage;
  /** Rows up to this one have been compared; ids sort by time. */
  #comparedUpTo = "";

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** @param seen all that was asked since the last time; none of it may still run */
  async compare(seen: readonly Seen[]): Promise<Kept[]> {
    const { ledger } = this.#stage.relay.fake;
    await ledger.settled(SETTLED_WITHIN_MS);
    await delivered(this.#stage);
    const rows = await ledgerRows(this.#stage, this.#comparedUpTo);
    const figures = compared(seen, rows, billsByNumber(this.#stage));
    ledger.clear();
    this.#comparedUpTo = rows[0]?.id ?? this.#comparedUpTo;
    return figures;
  }
}

function compared(
  seen: readonly Seen[],
  all: readonly LedgerRow[],
  bills: ReadonlyMap<number, Bill>,
): Kept[] {
  const rows = new Map(all.map((row) => [row.id, row]));
  const known = new Set(seen.flatMap(({ relayId }) => relayId ?? []));
  // Whose client saw no headers: theirs are the rows that nobody knows by name.
  const nameless = seen
    .filter(({ relayId }) => relayId === null)
    .map((one) => ({ ...one, bill: bills.get(one.number) ?? emptyBill() }));
  const rowOf = matched(
    all.filter(({ id }) => !known.has(id)),
    nameless.filter(({ bill }) => !isNothing(bill)),
  );
  const byRow = new Map<string, Kept>();
  for (const one of seen) {
    const figures = byRow.get(one.row) ?? {
      row: one.row,
      lost: 0,
      estimated: 0,
      unsettled: 0,
      wrong: 0,
    };
    byRow.set(one.row, figures);
    const bill = bills.get(one.number) ?? emptyBill();
    const row = one.relayId === null ? rowOf.get(one.number) : rows.get(one.relayId);
    if (row === undefined) {
      if (!isNothing(bill)) figures.lost += 1;
    } else if (row.state === "unsettled") figures.unsettled += 1;
    else if (row.estimated) figures.estimated += 1;
    else if (!isSame(row, bill)) figures.wrong += 1;
  }
  return [...byRow.values()];
}

/**
 * The row of each request that was billed and whose client saw no headers: one with the very bill, and
 * for what is left over one that says that its figures are not exact.
 */
function matched(
  rows: readonly LedgerRow[],
  billed: readonly (Seen & { bill: Bill })[],
): Map<number, LedgerRow> {
  const spare = [...rows];
  const found = new Map<number, LedgerRow>();
  const isVague = (row: LedgerRow) => row.estimated || row.state === "unsettled";
  for (const isMatch of [
    (row: LedgerRow, bill: Bill) => !isVague(row) && isSame(row, bill),
    (row: LedgerRow) => isVague(row),
  ]) {
    for (const { number, keyId, bill } of billed) {
      if (found.has(number)) continue;
      const at = spare.findIndex((row) => row.keyId === keyId && isMatch(row, bill));
      const [row] = at < 0 ? [] : spare.splice(at, 1);
      if (row !== undefined) found.set(number, row);
    }
  }
  return found;
}

function isSame({ tokens }: LedgerRow, bill: Bill): boolean {
  return (
    tokens.input === bill.inputTokens &&
    tokens.output === bill.outputTokens &&
    tokens.cacheWrite5m === bill.cacheWrite5mTokens &&
    tokens.cacheWrite1h === bill.cacheWrite1hTokens &&
    tokens.cacheRead === bill.cacheReadTokens
  );
}

const isNothing = (bill: Bill) => Object.values(bill).every((count) => count === 0);

async function delivered({ relay, keys }: Stage): Promise<void> {
  let counts = "";
  const giveUpAtMs = Date.now() + DELIVERED_WITHIN_MS;
  for (let tries = 1; Date.now() < giveUpAtMs; tries += 1) {
    const usages = await Promise.all(keys.map((key) => relay.usage(key)));
    const open = usages.reduce((sum, { usage }) => sum + usage.inFlight, 0);
    const inMeters = usages.reduce((sum, { usage }) => sum + Number(usage.total.requests), 0);
    const { data } = await relay.admin<{ total: { requests: number } }>(
      "GET",
      `/usage-costs?${EVER}`,
    );
    counts = `${open} open, ${inMeters} in the meters, ${data.total.requests} in the ledger`;
    if (open === 0 && inMeters === data.total.requests) return;
    await sleep(Math.min(RETRY_FIRST_MS * tries, RETRY_LONGEST_MS));
  }
  throw new Error(`not everything was delivered: ${counts}`);
}

/** The newest first. @param after only rows after this one */
async function ledgerRows({ relay }: Stage, after: string): Promise<LedgerRow[]> {
  const all: LedgerRow[] = [];
  for (let before: string | null = ""; before !== null; ) {
    const page: { data: { requests: LedgerRow[]; before: string | null } } = await relay.admin(
      "GET",
      `/requests?limit=500&before=${before}`,
    );
    const fresh = page.data.requests.filter(({ id }) => id > after);
    all.push(...fresh);
    before = fresh.length < page.data.requests.length ? null : page.data.before;
  }
  return all;
}

function billsByNumber({ relay }: Stage): Map<number, Bill> {
  const bills = new Map<number, Bill>();
  const entries = relay.fake.ledger.entries();
  const forgotten = relay.fake.ledger.totals().requests - entries.length;
  // A bill that is not there looks like nothing billed: a lost row would be passed over.
  if (forgotten > 0) throw new Error(`the stand-in has forgotten ${forgotten} requests`);
  for (const entry of entries.filter(({ path }) => path === "/v1/messages")) {
    const number = Number(entry.requestHeaders[NUMBER_HEADER]);
    const bill = bills.get(number) ?? emptyBill();
    addBill(bill, entry.bill);
    bills.set(number, bill);
  }
  return bills;
}
