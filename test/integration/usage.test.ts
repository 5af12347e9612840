import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Bill,
  type Fault,
  faults,
  type LedgerEntry,
  type ScriptHandle,
} from "../fixtures/fake-upstream/index.ts";
import { type RelayKey, TestRelay, type UsageAnswer } from "../fixtures/relay.ts";

const REQUESTS = 1_000;
const AT_ONCE = 24;
const MODELS = ["claude-opus-5-5", "claude-sonnet-5", "claude-haiku-4-5", "claude-haiku-5-5"];
const ACCOUNTS = ["one", "two", "plan"];
/** A whole request that no account can take just now is sent again, as any client would. */
const RETRIES = 300;
const RETRY_MS = 100;
/** Dollars for a million tokens, from the price list: input, output, 5 min, 1 h, read. */
const PRICES: Record<string, [number, number, number, number, number]> = {
  "claude-opus-5-5": [4, 20, 5, 8, 0.2],
  "claude-sonnet-5": [2, 10, 2.5, 4, 0.2],
  "claude-haiku-4-5": [1, 5, 1.25, 2, 0.1],
  "claude-haiku-5-5": [0.1, 0.5, 0.125, 0.2, 0.01],
};
const DOLLARS_PER_SEARCH = 0.01;

let relay: TestRelay;
/** One key for each fate, so that no sum can hide behind another. */
let whole: Party;
let truncated: Party;
let aborted: Party;
let counting: Party;
let scripts: ScriptHandle[];

/** A key, and what its client knows of its requests. */
interface Party {
  key: RelayKey;
  /** Sent requests by model. */
  sent: Record<string, number>;
  /** Ids that upstream gave to the answers. */
  requestIds: Set<string>;
  refusals: number;
}

beforeAll(async () => {
  relay = await TestRelay.start();
  await relay.addApiKeyAccount("one");
  await relay.addApiKeyAccount("two");
  await relay.addOAuthAccount("plan");
  const makeParty = async (): Promise<Party> => ({
    key: await relay.createKey(),
    sent: {},
    requestIds: new Set(),
    refusals: 0,
  });
  [whole, truncated, aborted, counting] = await Promise.all([
    makeParty(),
    makeParty(),
    makeParty(),
    makeParty(),
  ]);
  scripts = [];
  let next = 0;
  const worker = async () => {
    while (next < REQUESTS) {
      next += 1;
      await request(next - 1);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  await relay.fake.ledger.settled(20_000);
});
afterAll(() => relay.stop());

/** Failures that an account has before a byte is out, so that another one serves. */
const failures: (() => Fault)[] = [
  faults.internalError,
  () => faults.rateLimited({ retryAfterSeconds: 1 }),
  faults.badGateway,
  faults.overloaded,
  () => faults.resetBeforeHead(),
  faults.unavailable,
  faults.gatewayTimeout,
];

/** Answers of odd form, each of which must be read all the same. */
const oddAnswers: Fault[] = [
  { answer: { thinkingTokens: 90, outputTokens: 11 } },
  { answer: { deltaUsageOutputOnly: true, outputTokens: 33 } },
  { ...faults.gzip(), answer: { outputTokens: 300 } },
  { ...faults.oneByteWrites(), noise: true, crlf: true },
  { ...faults.bigAnswer(200_000), length: "chunked" },
  { ...faults.splitUtf8(), length: "chunked" },
  { ...faults.randomSplit(8, 50), length: "exact" },
];

const breaks: Fault[] = [
  { answer: { outputTokens: 200 }, ...faults.resetAfterEvents(20) },
  { answer: { outputTokens: 200, multibyte: true }, ...faults.destroyAfterEvents(9) },
  { answer: { outputTokens: 200 }, ...faults.endAfterEvents(31) },
  { answer: { outputTokens: 200 }, ...faults.destroyAfterBytes(2_000) },
];

function at<T>(list: readonly T[], index: number): T {
  const item = list[index % list.length];
  if (item === undefined) throw new Error("an empty list");
  return item;
}

interface Body {
  model: string;
  [field: string]: unknown;
}

function bodyOf(index: number): Body {
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
    { tools: [{ name: "run", input_schema: { type: "object", properties: {} } }], stream: true },
    { tools: [{ type: "web_search_20250305", name: "web_search" }], system: cached("1h") },
  ];
  return {
    model: at(MODELS, Math.floor(index / 3)),
    max_tokens: 1 + (index % 40),
    stream: index % 3 !== 0,
    messages: [{ role: "user", content: "x".repeat((index * 7) % 900) }],
    ...at(variants, index + Math.floor(index / 7)),
  };
}

async function request(index: number): Promise<void> {
  const body = bodyOf(index);
  const headers: Record<string, string> =
    index % 2 === 0 ? {} : { "x-claude-code-session-id": `session-${index % 60}` };
  // Every so often an account fails the next request that has no fate of its own.
  if (index % 40 === 39 && index < REQUESTS - 100) {
    const match = { path: "/v1/messages", account: at(ACCOUNTS, scripts.length), times: 1 };
    scripts.push(relay.fake.script(match, at(failures, scripts.length)()));
  }
  if (index === 500) {
    const match = { path: "/v1/messages", account: "plan", times: 1 };
    scripts.push(relay.fake.script(match, faults.unauthorized()));
  }
  switch (index % 20) {
    case 0:
      return abort(body, headers);
    case 1:
    case 2:
      return breakOff(body, headers, at(breaks, index));
    case 3:
      return count(body);
    case 4:
      // Refused by upstream and passed on: nothing to bill.
      return serve(body, headers, faults.status(400, "no"), 400);
    case 5:
    case 6:
      // Without tools: a search that the last usage leaves out is billed and told to nobody.
      return serve({ ...body, tools: undefined }, headers, at(oddAnswers, index), 200);
    default:
      return serve(body, headers, undefined, 200);
  }
}

function send(
  party: Party,
  body: Body,
  options: Parameters<TestRelay["message"]>[2],
): Promise<Response> {
  party.sent[body.model] = (party.sent[body.model] ?? 0) + 1;
  return relay.message(party.key, body, options);
}

function idOf(answer: Response): string {
  return answer.headers.get("request-id") ?? "";
}

/** Reads an answer to its end. Where all accounts rest, tries again. */
async function serve(
  body: Body,
  headers: Record<string, string>,
  fault: Fault | undefined,
  status: number,
): Promise<void> {
  for (let attempt = 0; attempt < RETRIES; attempt += 1) {
    const answer = await send(whole, body, { headers, ...(fault === undefined ? {} : { fault }) });
    const text = await answer.text();
    if (answer.status === status) {
      whole.requestIds.add(idOf(answer));
      return;
    }
    whole.refusals += 1;
    expect([429, 500, 502, 503, 504, 529], text).toContain(answer.status);
    await sleep(RETRY_MS);
  }
  throw new Error("no account ever became free");
}

async function breakOff(body: Body, headers: Record<string, string>, fault: Fault): Promise<void> {
  const asked = { ...body, stream: true, tools: undefined };
  for (let attempt = 0; attempt < RETRIES; attempt += 1) {
    const answer = await send(truncated, asked, { headers, fault });
    const text = await answer.text();
    if (answer.status === 200) {
      truncated.requestIds.add(idOf(answer));
      expect(text).toContain("event: error");
      return;
    }
    truncated.refusals += 1;
    await sleep(RETRY_MS);
  }
  throw new Error("no account ever became free");
}

/** Leaves as soon as the first words are there. */
async function abort(body: Body, headers: Record<string, string>): Promise<void> {
  const asked = { ...body, stream: true, tools: undefined };
  for (let attempt = 0; attempt < RETRIES; attempt += 1) {
    const { signal, abort: leave } = leaving();
    const fault = faults.paced(600, 50);
    const answer = await send(aborted, asked, { headers, fault, signal });
    if (answer.status === 200 && answer.body !== null) {
      aborted.requestIds.add(idOf(answer));
      const decoder = new TextDecoder();
      let text = "";
      for await (const chunk of answer.body) {
        text += decoder.decode(chunk, { stream: true });
        if (text.includes("text_delta")) break;
      }
      expect(text).toContain("text_delta");
      leave();
      return;
    }
    await answer.text();
    aborted.refusals += 1;
    await sleep(RETRY_MS);
  }
  throw new Error("no account ever became free");
}

function leaving(): { signal: AbortSignal; abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

async function count(body: Body): Promise<void> {
  counting.sent[body.model] = (counting.sent[body.model] ?? 0) + 1;
  const answer = await fetch(`${relay.url}/v1/messages/count_tokens`, {
    method: "POST",
    headers: {
      "x-api-key": counting.key.apiKey,
      "content-type": "application/json",
      "anthropic-version": "2023-06-01",
    },
    body: JSON.stringify({ model: body.model, messages: body.messages }),
  });
  // An account that rests does not count either.
  if (answer.status !== 200) counting.refusals += 1;
  await answer.arrayBuffer();
}

/** What upstream billed for the answers of a party, by model. */
function billedTo({ requestIds }: Party): {
  byModel: Record<string, Bill>;
  entries: LedgerEntry[];
} {
  const entries = relay.fake.ledger.entries(({ requestId }) => requestIds.has(requestId));
  expect(entries).toHaveLength(requestIds.size);
  return { byModel: sumOf(entries), entries };
}

function sumOf(entries: readonly LedgerEntry[]): Record<string, Bill> {
  const byModel: Record<string, Bill> = {};
  for (const { billLines } of entries) {
    for (const { model, speed: _speed, inferenceGeo: _geo, ...line } of billLines) {
      const sum = byModel[model];
      if (sum === undefined) byModel[model] = { ...line };
      else for (const kind of Object.keys(line) as (keyof Bill)[]) sum[kind] += line[kind];
    }
  }
  return byModel;
}

/** What the relay says a key used, in upstream's terms, by model. */
function usedBy({ usage }: UsageAnswer): Record<string, Bill> {
  const byModel: Record<string, Bill> = {};
  for (const sums of usage.byModel) byModel[sums.model] = inUpstreamsTerms(sums);
  return byModel;
}

function inUpstreamsTerms(sums: Record<string, number | string>): Bill {
  return {
    inputTokens: Number(sums.inputTokens),
    outputTokens: Number(sums.outputTokens),
    cacheWrite5mTokens: Number(sums.cacheCreate5mTokens),
    cacheWrite1hTokens: Number(sums.cacheCreate1hTokens),
    cacheReadTokens: Number(sums.cacheReadTokens),
    webSearches: Number(sums.webSearchRequests),
  };
}

function requestsByModel({ usage }: UsageAnswer): Record<string, unknown> {
  return Object.fromEntries(usage.byModel.map(({ model, requests }) => [model, requests]));
}

function sentBy({ sent }: Party): number {
  return Object.values(sent).reduce((sum, requests) => sum + requests, 0);
}

test("the mix was what it was meant to be: failures, failover, every account and every fate", () => {
  const { requestsByStatus, requestsByOutcome, requestsByAccount, violations } =
    relay.fake.ledger.totals();
  for (const status of ["200", "400", "401", "429", "500", "502", "503", "504", "529"]) {
    expect(requestsByStatus[status], `answers with ${status}`).toBeGreaterThan(0);
  }
  for (const account of ACCOUNTS) expect(requestsByAccount[account]).toBeGreaterThan(50);
  expect(requestsByOutcome.client_closed).toBe(REQUESTS / 20);
  expect(requestsByOutcome.reset).toBeGreaterThan(REQUESTS / 20);
  expect(scripts.filter((script) => script.remaining() > 0)).toEqual([]);
  expect(violations).toBe(0);
});

test("requests that ended whole: the usage is upstream's bill, per model and kind of token", async () => {
  const usage = await relay.settledUsage(whole.key);
  const { byModel, entries } = billedTo(whole);
  expect(entries.every(({ outcome }) => outcome === "finished")).toBe(true);
  expect(Object.keys(byModel).sort()).toEqual([...MODELS].sort());
  for (const bill of Object.values(byModel)) {
    for (const [kind, amount] of Object.entries(bill)) expect(amount, kind).toBeGreaterThan(0);
  }
  expect(usedBy(usage)).toEqual(byModel);
  expect(requestsByModel(usage)).toEqual(whole.sent);
  expect(usage.usage.total).toMatchObject({
    requests: sentBy(whole),
    failedRequests: whole.refusals + REQUESTS / 20,
    estimatedRequests: 0,
    unsettledRequests: 0,
  });
});

test("their cost is the list price of that bill", async () => {
  const { usage } = await relay.settledUsage(whole.key);
  let dollars = 0;
  for (const [model, bill] of Object.entries(billedTo(whole).byModel)) {
    const [input, output, write5m, write1h, read] = PRICES[model] ?? [];
    const cost =
      (bill.inputTokens * Number(input) +
        bill.outputTokens * Number(output) +
        bill.cacheWrite5mTokens * Number(write5m) +
        bill.cacheWrite1hTokens * Number(write1h) +
        bill.cacheReadTokens * Number(read)) /
        1e6 +
      bill.webSearches * DOLLARS_PER_SEARCH;
    const sums = usage.byModel.find((candidate) => candidate.model === model);
    expect(sums?.cost, model).toBeCloseTo(cost, 8);
    dollars += cost;
  }
  expect(usage.total.cost).toBeCloseTo(dollars, 8);
});

test("day, month and total agree with the models' sums", async () => {
  const { usage } = await relay.settledUsage(whole.key);
  const sum = sumOf(billedTo(whole).entries);
  for (const period of [usage.total, usage.daily, usage.monthly]) {
    const terms = inUpstreamsTerms(period);
    for (const kind of Object.keys(terms) as (keyof Bill)[]) {
      const expected = Object.values(sum).reduce((all, bill) => all + bill[kind], 0);
      expect(terms[kind], kind).toBe(expected);
    }
  }
});

test("streams that upstream broke off are estimates, to the token that was streamed", async () => {
  const usage = await relay.settledUsage(truncated.key);
  expect(usedBy(usage)).toEqual(billedTo(truncated).byModel);
  expect(requestsByModel(usage)).toEqual(truncated.sent);
  expect(usage.usage.total).toMatchObject({
    requests: sentBy(truncated),
    failedRequests: sentBy(truncated),
    estimatedRequests: truncated.requestIds.size,
    unsettledRequests: 0,
  });
});

test("streams that the client left are estimates: the input exact, the output what was seen", async () => {
  const usage = await relay.settledUsage(aborted.key);
  const { byModel, entries } = billedTo(aborted);
  expect(entries.map(({ outcome }) => outcome)).toEqual(entries.map(() => "client_closed"));
  expect(requestsByModel(usage)).toEqual(aborted.sent);
  expect(usage.usage.total).toMatchObject({
    requests: sentBy(aborted),
    failedRequests: sentBy(aborted),
    estimatedRequests: aborted.requestIds.size,
    unsettledRequests: 0,
  });
  const used = usedBy(usage);
  for (const [model, bill] of Object.entries(byModel)) {
    const { outputTokens, ...rest } = bill;
    expect(used[model]).toMatchObject(rest);
    expect(used[model]?.outputTokens).toBeGreaterThan(0);
    expect(used[model]?.outputTokens).toBeLessThanOrEqual(outputTokens);
  }
});

test("count_tokens is never counted", async () => {
  const { usage } = await relay.settledUsage(counting.key);
  expect(sentBy(counting)).toBe(REQUESTS / 20);
  expect(relay.fake.ledger.byPath("/v1/messages/count_tokens")).toHaveLength(
    sentBy(counting) - counting.refusals,
  );
  expect(usage.byModel).toEqual([]);
  expect(usage.total).toMatchObject({ requests: 0, allTokens: 0, cost: 0 });
});

test("all keys together used what upstream billed, less what was streamed to nobody", async () => {
  const { billByModel } = relay.fake.ledger.totals();
  const exact = [...billedTo(whole).entries, ...billedTo(truncated).entries];
  const left = billedTo(aborted).entries;
  expect(sumOf([...exact, ...left])).toEqual(billByModel);
  const used = { input: 0, read: 0, written: 0, output: 0 };
  for (const { key } of [whole, truncated, aborted, counting]) {
    const { total } = (await relay.settledUsage(key)).usage;
    used.input += Number(total.inputTokens);
    used.read += Number(total.cacheReadTokens);
    used.written += Number(total.cacheCreateTokens);
    used.output += Number(total.outputTokens);
  }
  const billed = relay.fake.ledger.totals().bill;
  expect(used).toMatchObject({
    input: billed.inputTokens,
    read: billed.cacheReadTokens,
    written: billed.cacheWrite5mTokens + billed.cacheWrite1hTokens,
  });
  const { total } = (await relay.settledUsage(aborted.key)).usage;
  const leftOutput = left.reduce((sum, { bill }) => sum + bill.outputTokens, 0);
  expect(used.output - Number(total.outputTokens)).toBe(billed.outputTokens - leftOutput);
});

test.each([true, false])(
  "what an advisor and a compaction used is billed too, each at its own model's price (stream: %s)",
  async (stream) => {
    const key = await relay.createKey();
    const iterations = [
      {
        type: "advisor_message",
        model: "claude-haiku-4-5",
        inputTokens: 40_000,
        outputTokens: 2_000,
      },
      { type: "compaction", inputTokens: 90_000, outputTokens: 700 },
    ];
    const answer = await relay.message(
      key,
      { model: "claude-sonnet-5", stream },
      { fault: { answer: { iterations } } },
    );
    await answer.arrayBuffer();
    const [entry] = relay.fake.ledger.entries(({ requestId }) => requestId === idOf(answer));
    expect(entry?.billLines.map(({ model }) => model)).toEqual([
      "claude-sonnet-5",
      "claude-haiku-4-5",
      "claude-sonnet-5",
    ]);
    const { usage } = await relay.settledUsage(key);
    expect(inUpstreamsTerms(usage.total)).toEqual(entry?.bill);
    const own =
      Number(entry?.billLines[0]?.inputTokens) * 2 + Number(entry?.billLines[0]?.outputTokens) * 10;
    const dollars = (own + 40_000 * 1 + 2_000 * 5 + 90_000 * 2 + 700 * 10) / 1e6;
    expect(usage.total.cost).toBeCloseTo(dollars, 9);
  },
);
