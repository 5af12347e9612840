import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { relayIdOf } from "../chaos/load.ts";
import { addBill, type Bill, emptyBill } from "../fixtures/fake-upstream/bill.ts";
import { type Fault, faults, type LedgerEntry } from "../fixtures/fake-upstream/index.ts";
import { runOutLeases } from "../fixtures/meter-leases.ts";
import { type RelayKey, TestRelay } from "../fixtures/relay.ts";

/** `npm run test:conservation` sends twenty thousand. */
const REQUESTS = Number(process.env.CONSERVATION_REQUESTS ?? 700);
const KILLS = 3;
const AT_ONCE = 24;
const KEYS = 6;
const ACCOUNTS = 6;
/** Some fifty requests a second on a slow machine, and what restarts and deliveries take. */
const TIME_LIMIT_MS = 120_000 + REQUESTS * 20;
/** A delivery is fifteen seconds away at most, and a sweep a minute. */
const DELIVERY_TRIES = 1_000;
const RETRY_MS = 100;
const MODELS = ["claude-opus-5-5", "claude-sonnet-5", "claude-haiku-4-5", "claude-haiku-5-5"];
const NUMBER_HEADER = "x-test-number";
const KINDS = Object.keys(emptyBill()) as (keyof Bill)[];

/** One request as its client saw it. */
interface Sent {
  number: number;
  key: RelayKey;
  /** The relay's id; null where no headers came. */
  relayId: string | null;
}

/** One request as the ledger shows it. */
interface Row {
  id: string;
  keyId: string;
  state: "settled" | "unsettled";
  outcome: string;
  model: string;
  answeredModel: string | null;
  estimated: boolean;
  cost: number;
  webSearches: number;
  tokens: Record<"input" | "output" | "cacheWrite5m" | "cacheWrite1h" | "cacheRead", number>;
}

let relay: TestRelay;
let keys: RelayKey[];
const sent: Sent[] = [];
/** Pending while the runtime is down. */
let isUp = Promise.resolve();
let cutByKills = 0;
let lostLeases = 0;

let rows: Row[];
let billOf: Map<number, Bill>;
let meterSums: Bill & { requests: number; cost: number; unsettled: number; estimated: number };

beforeAll(async () => {
  relay = await TestRelay.start({
    fake: {
      toleratedHeaders: ["cf-worker", NUMBER_HEADER],
      maxLedgerEntries: 20 * REQUESTS,
    },
  });
  for (let nth = 0; nth < ACCOUNTS; nth += 1) await relay.addApiKeyAccount(`account-${nth}`);
  keys = await Promise.all(Array.from({ length: KEYS }, () => relay.createKey()));
  await load();
  await relay.fake.ledger.settled(30_000);
  await relay.restart({
    how: "kill",
    meanwhile: () => {
      lostLeases = runOutLeases(relay.stateDir);
    },
  });
  await everythingDelivered();
  rows = await allRows();
  billOf = billsByNumber();
}, TIME_LIMIT_MS);
afterAll(() => relay.stop());

async function load(): Promise<void> {
  const killAt = new Set(
    Array.from({ length: KILLS }, (_, nth) => Math.floor(((nth + 1) * REQUESTS) / (KILLS + 1))),
  );
  let next = 0;
  const client = async () => {
    while (next < REQUESTS) {
      const index = next;
      next += 1;
      // The others are in the middle of their requests.
      if (killAt.has(index)) await kill();
      await request(index);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, client));
}

async function kill(): Promise<void> {
  let up = () => {};
  isUp = new Promise((resolve) => {
    up = resolve;
  });
  await relay.restart({ how: "kill" });
  up();
}

/** Failures that an account has before a byte is out, so that another one serves. */
const failures: (() => Fault)[] = [
  faults.internalError,
  faults.badGateway,
  faults.overloaded,
  () => faults.resetBeforeHead(),
  faults.unavailable,
];

const oddAnswers: Fault[] = [
  { answer: { thinkingTokens: 90, outputTokens: 11 } },
  { answer: { deltaUsageOutputOnly: true, outputTokens: 33 } },
  { ...faults.gzip(), answer: { outputTokens: 300 } },
  { ...faults.randomSplit(8, 50), noise: true, crlf: true },
  { ...faults.bigAnswer(100_000), length: "chunked" },
  { ...faults.splitUtf8(), length: "chunked" },
  {
    answer: {
      iterations: [
        { type: "advisor_message", model: "claude-haiku-4-5", inputTokens: 900, outputTokens: 120 },
        { type: "compaction", inputTokens: 5_000, outputTokens: 400 },
      ],
    },
  },
];

const breaks: Fault[] = [
  { answer: { outputTokens: 200 }, ...faults.resetAfterEvents(20) },
  { answer: { outputTokens: 200, multibyte: true }, ...faults.destroyAfterEvents(9) },
  { answer: { outputTokens: 200 }, ...faults.endAfterEvents(31) },
];

function at<T>(list: readonly T[], index: number): T {
  const item = list[index % list.length];
  if (item === undefined) throw new Error("an empty list");
  return item;
}

function bodyOf(index: number): Record<string, unknown> {
  const cached = (ttl?: string) => [
    {
      type: "text",
      text: "Rules. ".repeat(40 + (index % 90)),
      cache_control: { type: "ephemeral", ...(ttl === undefined ? {} : { ttl }) },
    },
  ];
  const variants: Record<string, unknown>[] = [
    {},
    { system: cached() },
    { system: cached("1h") },
    { tools: [{ type: "web_search_20250305", name: "web_search" }] },
  ];
  return {
    model: at(MODELS, Math.floor(index / 3)),
    max_tokens: 1 + (index % 40),
    stream: index % 3 !== 0,
    messages: [{ role: "user", content: "x".repeat((index * 7) % 900) }],
    ...at(variants, index + Math.floor(index / 7)),
  };
}

/** A twentieth each: left by the client, broken off, refused by upstream, of odd form. */
async function request(index: number): Promise<void> {
  const body = bodyOf(index);
  if (index % 40 === 39) {
    const match = { path: "/v1/messages", account: `account-${index % ACCOUNTS}`, times: 1 };
    relay.fake.script(match, at(failures, Math.floor(index / 40))());
  }
  const streamed = { ...body, stream: true, tools: undefined };
  switch (index % 20) {
    case 0:
      return send(index, streamed, faults.paced(600, 20), "leave");
    case 1:
      return send(index, streamed, at(breaks, Math.floor(index / 20)), "read");
    case 2:
      return send(index, body, faults.status(400, "no"), "read");
    case 3:
      return send(
        index,
        { ...body, tools: undefined },
        at(oddAnswers, Math.floor(index / 20)),
        "read",
      );
    // Slow enough that a kill finds some of them in their middle.
    case 4:
      return send(index, streamed, faults.paced(20, 20), "read");
    default:
      return send(index, body, undefined, "read");
  }
}

async function send(
  index: number,
  body: Record<string, unknown>,
  fault: Fault | undefined,
  how: "read" | "leave",
): Promise<void> {
  await isUp;
  const one: Sent = { number: sent.length, key: at(keys, index), relayId: null };
  sent.push(one);
  const leaving = new AbortController();
  try {
    const answer = await relay.message(one.key, body, {
      headers: { [NUMBER_HEADER]: String(one.number) },
      ...(fault === undefined ? {} : { fault }),
      signal: leaving.signal,
    });
    one.relayId = relayIdOf(answer);
    if (how === "leave" && answer.ok) await readToFirstWords(answer);
    else await answer.arrayBuffer();
    if (how === "leave") leaving.abort();
  } catch {
    // The runtime was killed under it, or upstream broke off a body that was no stream.
    cutByKills += 1;
  }
}

async function readToFirstWords(answer: Response): Promise<void> {
  const reader = answer.body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  while (reader !== undefined && !text.includes("text_delta")) {
    const { done, value } = await reader.read();
    if (done) return;
    text += decoder.decode(value, { stream: true });
  }
}

/** Waits until the meters have nothing open, and the ledger has as many requests as they have. */
async function everythingDelivered(): Promise<void> {
  let counts = "";
  for (let tries = 0; tries < DELIVERY_TRIES; tries += 1) {
    const usages = await Promise.all(keys.map((key) => relay.usage(key)));
    const inFlight = usages.reduce((sum, { usage }) => sum + usage.inFlight, 0);
    const sum = (field: string) =>
      usages.reduce((all, { usage }) => all + Number(usage.total[field]), 0);
    meterSums = {
      requests: sum("requests"),
      cost: sum("cost"),
      unsettled: sum("unsettledRequests"),
      estimated: sum("estimatedRequests"),
      inputTokens: sum("inputTokens"),
      outputTokens: sum("outputTokens"),
      cacheWrite5mTokens: sum("cacheCreate5mTokens"),
      cacheWrite1hTokens: sum("cacheCreate1hTokens"),
      cacheReadTokens: sum("cacheReadTokens"),
      webSearches: sum("webSearchRequests"),
    };
    const { total } = (await costs()).data;
    counts = `${inFlight} open, ${meterSums.requests} in the meters, ${total.requests} in the ledger`;
    if (inFlight === 0 && total.requests === meterSums.requests) return;
    await sleep(RETRY_MS);
  }
  throw new Error(`not everything was delivered: ${counts}`);
}

function costs() {
  return relay.admin<{ total: Record<string, number>; byKey: Record<string, number | string>[] }>(
    "GET",
    "/usage-costs",
  );
}

async function allRows(): Promise<Row[]> {
  const all: Row[] = [];
  for (let before: string | null = ""; before !== null; ) {
    const page: { data: { requests: Row[]; before: string | null } } = await relay.admin(
      "GET",
      `/requests?limit=500&before=${before}`,
    );
    all.push(...page.data.requests);
    before = page.data.before;
  }
  return all;
}

function billsByNumber(): Map<number, Bill> {
  const bills = new Map<number, Bill>();
  for (const entry of relay.fake.ledger.entries(isMessage)) {
    const number = Number(entry.requestHeaders[NUMBER_HEADER]);
    const bill = bills.get(number) ?? emptyBill();
    addBill(bill, entry.bill);
    bills.set(number, bill);
  }
  return bills;
}

const isMessage = ({ path }: LedgerEntry) => path === "/v1/messages";

function usedBy({ tokens, webSearches }: Row): Bill {
  return {
    inputTokens: tokens.input,
    outputTokens: tokens.output,
    cacheWrite5mTokens: tokens.cacheWrite5m,
    cacheWrite1hTokens: tokens.cacheWrite1h,
    cacheReadTokens: tokens.cacheRead,
    webSearches,
  };
}

function total(bills: Iterable<Bill>): Bill {
  const sum = emptyBill();
  for (const bill of bills) addBill(sum, bill);
  return sum;
}

function minus(left: Bill, right: Bill): Bill {
  const rest = { ...left };
  for (const kind of KINDS) rest[kind] -= right[kind];
  return rest;
}

const isNothing = (bill: Bill) => KINDS.every((kind) => bill[kind] === 0);
const sameBill = (left: Bill, right: Bill) => isNothing(minus(left, right));

test("the load was what it was meant to be: whole, broken off, left, failed, and cut by kills", () => {
  const { requestsByStatus, requestsByOutcome, violations } = relay.fake.ledger.totals();
  for (const status of ["200", "400", "500"]) {
    expect(requestsByStatus[status], `answers with ${status}`).toBeGreaterThan(0);
  }
  expect(requestsByOutcome.reset).toBeGreaterThan(0);
  expect(requestsByOutcome.client_closed).toBeGreaterThan(0);
  expect(cutByKills).toBeGreaterThanOrEqual(KILLS);
  expect(lostLeases).toBeGreaterThanOrEqual(KILLS);
  expect(sent.length).toBe(REQUESTS);
  expect(violations).toBe(0);
  for (const outcome of [
    "completed",
    "client_closed",
    "truncated",
    "upstream_error",
    "unsettled",
  ]) {
    expect(
      rows.filter((row) => row.outcome === outcome),
      outcome,
    ).not.toEqual([]);
  }
});

test("the ledger's sums are the meters', for every key, kind of token, and in cost", async () => {
  const { data } = await costs();
  for (const key of keys) {
    const { usage } = await relay.usage(key);
    const ofKey = data.byKey.find(({ keyId }) => keyId === key.id);
    expect(ofKey).toMatchObject({ ...usage.total, keyId: key.id });
  }
  expect(data.total.requests).toBe(meterSums.requests);
  const models = await relay.admin<{ models: Record<string, number>[] }>("GET", "/model-stats");
  const sum = (field: string) =>
    models.data.models.reduce((all, model) => all + Number(model[field]), 0);
  expect(sum("requests")).toBe(meterSums.requests);
  expect(sum("outputTokens")).toBe(meterSums.outputTokens);
});

test("the recent requests are those of the sums, each once", () => {
  expect(new Set(rows.map(({ id }) => id)).size).toBe(rows.length);
  expect(rows).toHaveLength(meterSums.requests);
  const { requests: _r, cost, unsettled, estimated, ...tokens } = meterSums;
  expect(total(rows.map(usedBy))).toEqual(tokens);
  expect(rows.reduce((sum, row) => sum + row.cost, 0)).toBeCloseTo(cost, 6);
  expect(rows.filter(({ state }) => state === "unsettled")).toHaveLength(unsettled);
  expect(rows.filter((row) => row.estimated)).toHaveLength(estimated);
});

test("what upstream billed is what the ledger holds, but for what is estimated or unsettled", () => {
  const rowOf = new Map(rows.map((row) => [row.id, row]));
  const estimated = emptyBill();
  const unsettled = emptyBill();
  const nameless: Sent[] = [];
  const known = new Set<string>();
  for (const one of sent) {
    if (one.relayId === null) {
      nameless.push(one);
      continue;
    }
    known.add(one.relayId);
    const bill = billOf.get(one.number) ?? emptyBill();
    const row = rowOf.get(one.relayId);
    if (row === undefined) {
      // Not let in, so never sent.
      expect(bill, `request ${one.number} has no row`).toEqual(emptyBill());
    } else explain(row, bill);
  }
  function explain(row: Row, bill: Bill): void {
    const rest = minus(bill, usedBy(row));
    if (row.state === "unsettled") addBill(unsettled, rest);
    else if (row.estimated) addBill(estimated, rest);
    else expect(rest, `${row.id} of ${row.outcome}`).toEqual(emptyBill());
  }
  // Requests whose client saw no headers, since the runtime was killed: theirs are the rows left over.
  // A row that was settled all the same is one of them, and tells by its bill which.
  const left = rows.filter(({ id }) => !known.has(id));
  const unnamed = new Map(nameless.map(({ number, key }) => [number, key.id]));
  for (const row of left.filter(({ state }) => state === "settled")) {
    const used = usedBy(row);
    const match = [...unnamed].find(
      ([number, keyId]) =>
        keyId === row.keyId &&
        (row.estimated
          ? (billOf.get(number)?.inputTokens ?? 0) === used.inputTokens
          : sameBill(billOf.get(number) ?? emptyBill(), used)),
    );
    expect(match, `nobody sent ${row.id}`).toBeDefined();
    if (match === undefined) continue;
    unnamed.delete(match[0]);
    explain(row, billOf.get(match[0]) ?? emptyBill());
  }
  for (const key of keys) {
    const billed = [...unnamed].filter(
      ([number, keyId]) => keyId === key.id && !isNothing(billOf.get(number) ?? emptyBill()),
    );
    const lost = left.filter(({ keyId, state }) => keyId === key.id && state === "unsettled");
    // Whatever was sent upstream had been let in: each bill has a row that says so.
    expect(lost.length).toBeGreaterThanOrEqual(billed.length);
    for (const [number] of billed) addBill(unsettled, billOf.get(number) ?? emptyBill());
  }
  const billed = total(billOf.values());
  const inLedger = total(rows.map(usedBy));
  const unexplained = minus(minus(minus(billed, inLedger), estimated), unsettled);
  console.log(
    table([
      ["", "requests", ...KINDS],
      ["billed by upstream", String(billOf.size), ...KINDS.map((kind) => String(billed[kind]))],
      [
        "in the meters",
        String(meterSums.requests),
        ...KINDS.map((kind) => String(meterSums[kind])),
      ],
      ["in the ledger", String(rows.length), ...KINDS.map((kind) => String(inLedger[kind]))],
      [
        "told by estimated rows",
        String(meterSums.estimated),
        ...KINDS.map((kind) => String(estimated[kind])),
      ],
      [
        "told by unsettled rows",
        String(meterSums.unsettled),
        ...KINDS.map((kind) => String(unsettled[kind])),
      ],
      ["not explained", "", ...KINDS.map((kind) => String(unexplained[kind]))],
    ]),
  );
  expect(unexplained).toEqual(emptyBill());
  expect(KINDS.filter((kind) => estimated[kind] < 0 || unsettled[kind] < 0)).toEqual([]);
});

function table(lines: string[][]): string {
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map((line) => (line[column] ?? "").length)),
  );
  return lines
    .map((line) => line.map((cell, column) => cell.padStart(widths[column] ?? 0)).join("  "))
    .join("\n");
}
