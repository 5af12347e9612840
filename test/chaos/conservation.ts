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

const DELIVERY_TRIES = 1_200;
const RETRY_MS = 100;

/** Ends all leases as their quarter of an hour would, and compares ledger and upstream by row. */
export async function kept(stage: Stage, seen: readonly Seen[]): Promise<Kept[]> {
  const { relay } = stage;
  await relay.fake.ledger.settled(30_000);
  await relay.restart({ how: "kill", meanwhile: () => runOutLeases(relay.stateDir) });
  await delivered(stage);
  const rows = new Map((await ledgerRows(stage)).map((row) => [row.id, row]));
  const bills = billsByNumber(stage);
  const known = new Set(seen.flatMap(({ relayId }) => relayId ?? []));
  // Whose client saw no headers: theirs are the rows that nobody knows by name.
  const spare = [...rows.values()].filter(({ id }) => !known.has(id));
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
    const row = one.relayId === null ? takeSpare(spare, one, bill) : rows.get(one.relayId);
    if (row === undefined) {
      if (!isNothing(bill)) figures.lost += 1;
    } else if (row.state === "unsettled") figures.unsettled += 1;
    else if (row.estimated) figures.estimated += 1;
    else if (!isSame(row, bill)) figures.wrong += 1;
  }
  return [...byRow.values()];
}

/** A row with the very bill, else one that says that its figures are not exact. */
function takeSpare(spare: LedgerRow[], { keyId }: Seen, bill: Bill): LedgerRow | undefined {
  const ofKey = (row: LedgerRow) => row.keyId === keyId;
  const isVague = (row: LedgerRow) => row.estimated || row.state === "unsettled";
  const exact = spare.findIndex((row) => ofKey(row) && !isVague(row) && isSame(row, bill));
  const at = exact >= 0 ? exact : spare.findIndex((row) => ofKey(row) && isVague(row));
  return at < 0 ? undefined : spare.splice(at, 1)[0];
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
  for (let tries = 0; tries < DELIVERY_TRIES; tries += 1) {
    const usages = await Promise.all(keys.map((key) => relay.usage(key)));
    const open = usages.reduce((sum, { usage }) => sum + usage.inFlight, 0);
    const inMeters = usages.reduce((sum, { usage }) => sum + Number(usage.total.requests), 0);
    const { data } = await relay.admin<{ total: { requests: number } }>("GET", "/usage-costs");
    counts = `${open} open, ${inMeters} in the meters, ${data.total.requests} in the ledger`;
    if (open === 0 && inMeters === data.total.requests) return;
    await sleep(RETRY_MS);
  }
  throw new Error(`not everything was delivered: ${counts}`);
}

async function ledgerRows({ relay }: Stage): Promise<LedgerRow[]> {
  const all: LedgerRow[] = [];
  for (let before: string | null = ""; before !== null; ) {
    const page: { data: { requests: LedgerRow[]; before: string | null } } = await relay.admin(
      "GET",
      `/requests?limit=500&before=${before}`,
    );
    all.push(...page.data.requests);
    before = page.data.before;
  }
  return all;
}

function billsByNumber({ relay }: Stage): Map<number, Bill> {
  const bills = new Map<number, Bill>();
  for (const entry of relay.fake.ledger.entries(({ path }) => path === "/v1/messages")) {
    const number = Number(entry.requestHeaders[NUMBER_HEADER]);
    const bill = bills.get(number) ?? emptyBill();
    addBill(bill, entry.bill);
    bills.set(number, bill);
  }
  return bills;
}
