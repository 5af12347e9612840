import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { COST_LOADS } from "../../bench/cost/loads.ts";
import type { CostReport } from "../../bench/cost/report.ts";
import { objectTotal, pricePerMillion, usagePerRequest } from "../../bench/cost/usage.ts";
import { MessageReader } from "../../bench/http/message-reader.ts";
import { isMet } from "../../bench/report/scenario-text.ts";
import { scenarios } from "../../bench/scenarios/registry.ts";
import type { Budget, FigureTable, ScenarioReport } from "../../bench/scenarios/scenario.ts";
import { EVENT_BYTES, streamEvents } from "../../bench/upstream/answers.ts";

const root = resolve(import.meta.dirname, "../..");
const dir = mkdtempSync(join(tmpdir(), "relay-bench-test-"));
afterAll(() => rmSync(dir, { recursive: true }));

/** Runs the benchmark; what its figures are says nothing here, only that they are there. */
async function bench<T>(...flags: string[]): Promise<{ printed: string; written: T }> {
  const out = join(dir, "figures.json");
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(root, "bench/bench.ts"), "--shortest", "--out", out, ...flags],
    { cwd: root },
  );
  return { printed: stdout, written: JSON.parse(readFileSync(out, "utf8")) as T };
}

function tableOf(reports: ScenarioReport[], scenario: string): FigureTable["rows"] {
  return reports.find(({ name }) => name === scenario)?.tables?.[0]?.rows ?? [];
}

describe.skipIf(process.platform !== "linux")("npm run bench", () => {
  test("runs every scenario, and each has its figures and its budgets", async () => {
    const { printed, written } = await bench<{
      environment: Record<string, unknown>;
      scenarios: ScenarioReport[];
    }>();
    const names = (await scenarios()).map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining(["json", "long", "burst", "paced", "pool", "panel", "saturation"]),
    );
    expect(written.scenarios.map(({ name }) => name)).toEqual(["build", ...names]);
    for (const { name, loads, tables = [], budgets } of written.scenarios) {
      expect(budgets.length + tables.length, name).toBeGreaterThan(0);
      for (const { what, figure } of budgets)
        expect(figure, `${name}: ${what}`).toBeTypeOf("number");
      for (const { title, columns, rows } of tables) {
        expect(rows.length, title).toBeGreaterThan(0);
        for (const { name: row, figures } of rows) {
          expect(figures, `${title}, ${row}`).toHaveLength(columns.length);
          expect(figures.every(Number.isFinite), `${title}, ${row}`).toBe(true);
          expect(printed).toContain(row);
        }
      }
      for (const { load, subjects } of loads) {
        expect(subjects.length, load).toBeGreaterThan(1);
        for (const { subject, rounds } of subjects) {
          const [figures] = rounds;
          expect(figures?.requestsPerS, `${name}, ${load}, ${subject}`).toBeGreaterThan(0);
          expect(figures?.p50Ms).toBeGreaterThan(0);
          expect(figures?.p99Ms).toBeGreaterThanOrEqual(figures?.p50Ms ?? 0);
          expect(figures?.peakMemoryMb).toBeGreaterThan(1);
          if (name === "paced") expect(figures?.eventDelayP99Ms).toBeGreaterThan(0);
        }
      }
    }
    const { environment } = written;
    expect(environment).toMatchObject({ node: process.versions.node, cores: expect.any(Number) });
    expect(environment.workerd).toMatch(/^1\.\d{8}\./);
    expect(tableOf(written.scenarios, "panel")).toHaveLength(5);
    const [oneKey] = tableOf(written.scenarios, "saturation");
    // A key's requests that come at once share calls to its meter.
    expect(oneKey?.figures.at(-1)).toBeLessThan(2);
    const budgets = written.scenarios.flatMap((scenario) => scenario.budgets);
    expect([...printed.matchAll(/^(?:met|NOT MET) /gm)]).toHaveLength(budgets.length);
  });

  test("counts what a request uses under each load, with the relay inside a counting Worker", async () => {
    const { written } = await bench<{ cost: CostReport }>("--cost");
    expect(written.cost.loads).toHaveLength(3);
    for (const { load, usage, dollarsPerMillion } of written.cost.loads) {
      const { requests, rowsRead, rowsWritten, activeMs } = objectTotal(usage);
      for (const count of [requests, rowsRead, rowsWritten, activeMs]) {
        expect(count, load.name).toBeGreaterThan(0);
      }
      expect(usage.workerCpuMs, load.name).toBeGreaterThan(0);
      expect(dollarsPerMillion.total, load.name).toBeGreaterThan(0.3);
    }
    for (const { what, figure } of written.cost.budgets) expect(figure, what).toBeTypeOf("number");
  });

  test("says which scenarios there are, to one that is not", async () => {
    await expect(bench("--only", "jsno")).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining("No such scenario: jsno. There are: json, long"),
    });
  });
});

test("a budget is met at its limit, and not without a figure", () => {
  const budget: Budget = { what: "", is: "at most", limit: 2, figure: 2, unit: "", spread: null };
  expect(isMet(budget)).toBe(true);
  expect(isMet({ ...budget, figure: 2.01 })).toBe(false);
  expect(isMet({ ...budget, is: "at least", figure: 1.99 })).toBe(false);
  expect(isMet({ ...budget, figure: null })).toBe(false);
});

test("a million requests are priced part by part, and a sample's shared objects by their share", () => {
  const use = { requests: 0, rowsRead: 0, rowsWritten: 0, activeMs: 0 };
  const none = { kvReads: 0, kvSharedReads: 0, kvWrites: 0 };
  const before = { workerRequests: 10, ...none, objects: { KeyMeter: use } };
  const after = {
    workerRequests: 110,
    kvReads: 9,
    kvSharedReads: 10,
    kvWrites: 1,
    objects: {
      KeyMeter: { requests: 200, rowsRead: 1_000, rowsWritten: 300, activeMs: 1_000 },
      Fleet: { requests: 100, rowsRead: 0, rowsWritten: 0, activeMs: 0 },
    },
  };
  const usage = usagePerRequest(before, after, 150, { Fleet: 0.1, kvSharedReads: 0.1 });
  expect(usage.objects.Fleet?.requests).toBeCloseTo(0.1);
  const dollars = Object.fromEntries(
    pricePerMillion(usage).map(({ part, dollars }) => [part, Number(dollars.toFixed(6))]),
  );
  expect(dollars).toEqual({
    "Worker requests": 0.3,
    "Worker CPU": 0.03,
    "KV reads": 0.05,
    "KV writes": 0.05,
    "object requests": 0.315,
    // 10 ms a request at 128 MB
    "object duration": 0.016,
    "rows read": 0.01,
    "rows written": 3,
  });
  expect(COST_LOADS).toHaveLength(3);
});

test("the load generator reads answers in both framings, however they are cut", () => {
  const bytes = Buffer.from(
    "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc" +
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n1a;x=1\r\n" +
      `${"v".repeat(26)}\r\n0\r\n\r\n` +
      "HTTP/1.1 204 No Content\r\n\r\n",
  );
  for (let size = 1; size <= bytes.length; size += 1) {
    const answers: string[] = [];
    let body = "";
    const reader = new MessageReader({
      onHead: () => {
        body = "";
      },
      onBody: (piece) => {
        body += piece.toString("latin1");
      },
      onEnd: () => answers.push(body),
    });
    for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size));
    expect(answers, `pieces of ${size}`).toEqual(["abc", `wxyz${"v".repeat(26)}`, ""]);
  }
});

test("an event of the benchmark's streams has the size that it should have", () => {
  expect(streamEvents().delta.length).toBe(EVENT_BYTES);
});
