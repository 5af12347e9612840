import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test } from "vitest";
import { Account } from "../../durable-objects/claude-account/account.ts";
import type { Admission, MeterBatch } from "../../durable-objects/key-meter/contract.ts";
import { Meter } from "../../durable-objects/key-meter/meter.ts";
import { SCHEMA_STEPS as METER_NOW } from "../../durable-objects/key-meter/schema.ts";
import type { LedgerFact } from "../../durable-objects/usage-ledger/contract.ts";
import { SCHEMA_STEPS as LEDGER_NOW } from "../../durable-objects/usage-ledger/schema.ts";
import { parseRosterRow, type RosterRow } from "../../src/accounts/roster-row.ts";
import { Vault } from "../../src/accounts/vault.ts";
import { Egresses } from "../../src/egress/egress.ts";
import type { Settlement } from "../../src/relay/settlement.ts";
import { newRequestId } from "../../src/request-id.ts";
import {
  FIRST_ACCOUNT_STATE,
  FIRST_ADMISSION,
  FIRST_ROSTER_ROW,
  FIRST_SETTLEMENT,
  LEDGER_STEPS,
  METER_STEPS,
  TABLES_WITHOUT_STEPS,
} from "../fixtures/released-schemas.ts";
import { OPEN } from "./open-policy.ts";

afterEach(() => reset());

/** Far ahead: the runtime fires an alarm of the past at once, and the test would not move the clock. */
const START_MS = Date.UTC(2099, 10, 30, 23, 30, 0);
const MINUTE_MS = 60_000;
const KEY = "fedcba9876543210fedcba9876543210";

describe("what has been released stays as it is", () => {
  test("no step of a schema was changed, taken away or put in between", () => {
    expect(METER_NOW).toEqual(METER_STEPS);
    expect(LEDGER_NOW).toEqual(LEDGER_STEPS);
  });

  test.each(Object.entries(TABLES_WITHOUT_STEPS))(
    "%s has the tables that it had",
    (binding, tables) =>
      runInDurableObject(fresh(binding as keyof typeof TABLES_WITHOUT_STEPS), (_, { storage }) => {
        for (const [table, columns] of Object.entries(tables)) {
          const found = storage.sql.exec<{ name: string }>(`PRAGMA table_info(${table})`).toArray();
          expect(found.map(({ name }) => name).join(", ")).toBe(columns);
        }
      }),
  );
});

function fresh(binding: "CLAUDE_ACCOUNT" | "FLEET" | "EVENT_LOG" | "ADMIN_GATE" | "KEY_METER") {
  const namespace = env[binding] as DurableObjectNamespace;
  return namespace.get(namespace.idFromName(crypto.randomUUID()));
}

function forgetAll({ sql }: DurableObjectStorage): void {
  const tables = sql
    .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'")
    .toArray()
    .filter(({ name }) => !/^(?:sqlite|_cf)_/.test(name));
  for (const { name } of tables) sql.exec(`DROP TABLE ${name}`);
}

describe("a key's meter wakes up with the data of an older version", () => {
  /** Version 0: made before versions were written down. */
  test.each(
    [...METER_STEPS.keys()]
      .map((index) => index + 1)
      .flatMap((version) =>
        version === 1
          ? [
              { version, isNoted: false },
              { version, isNoted: true },
            ]
          : [{ version, isNoted: true }],
      ),
  )("$version (noted: $isNoted)", ({ version, isNoted }) =>
    runInDurableObject(fresh("KEY_METER"), async (_, { storage }) => {
      forgetAll(storage);
      const { sql } = storage;
      for (const step of METER_STEPS.slice(0, version)) sql.exec(step);
      if (isNoted) {
        sql.exec(
          "CREATE TABLE schema_version (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL)",
        );
        sql.exec("INSERT INTO schema_version (one, version) VALUES (1, ?)", version);
      }
      const hasOutbox = version >= 3;
      const ids = [3, 2, 1].map((age) => newRequestId(START_MS - age * MINUTE_MS));
      const [settled = "", swept = "", open = ""] = ids;
      const insert = (
        id: string,
        age: number,
        state: string,
        more: Record<string, string | number>,
      ) => {
        const row = {
          id,
          started_at_ms: START_MS - age * MINUTE_MS,
          lease_until_ms: state === "open" ? START_MS + MINUTE_MS : START_MS,
          state,
          model: "claude-sonnet-5",
          ...more,
        };
        const names = Object.keys(row);
        const marks = names.map(() => "?").join(", ");
        sql.exec(
          `INSERT INTO requests (${names.join(", ")}) VALUES (${marks})`,
          ...Object.values(row),
        );
      };
      const ended = {
        outcome: "completed",
        status: 200,
        account_id: "account-id",
        attempts: "[]",
        cost_nano: 500,
      };
      insert(settled, 3, "settled", { ...ended, ...(hasOutbox ? { settled_seq: 1 } : {}) });
      insert(swept, 2, "unsettled", hasOutbox ? { swept_seq: 2 } : {});
      insert(open, 1, "open", {});
      // Of an outbox, the first fact is in the ledger already.
      if (hasOutbox) sql.exec("INSERT INTO delivery (one, shard, delivered_seq) VALUES (1, 0, 1)");
      sql.exec(
        "INSERT INTO lifetime VALUES ('claude-sonnet-5', 7, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9000)",
      );
      sql.exec("INSERT INTO threads VALUES ('msg_1', 'account-id', ?)", START_MS);

      const told: LedgerFact[] = [];
      let nowMs = START_MS;
      const wake = () =>
        new Meter(storage, () => nowMs, {
          keyId: "key",
          newShard: () => 0,
          take: async (_shard, { facts }) => {
            told.push(...facts);
          },
          log: () => {},
        });
      wake();
      // Waking up once more changes nothing.
      const meter = wake();
      expect(sql.exec("SELECT version FROM schema_version").one()).toEqual({
        version: METER_STEPS.length,
      });
      expect(meter.requests(10).map(({ id, state }) => `${id} ${state}`)).toEqual([
        `${open} open`,
        `${swept} unsettled`,
        `${settled} settled`,
      ]);
      expect(meter.settle({ ...(FIRST_SETTLEMENT as Settlement), requestId: open })).toBe(true);
      const { total } = meter.usage(OPEN);
      expect(total).toMatchObject({ requests: 10, cost_nano: 9_500 + 105_000 });
      const admitted = await meter.admit({
        ...FIRST_ADMISSION,
        requestId: newRequestId(nowMs),
        policy: OPEN,
        previousMessageId: "msg_1",
      });
      expect(admitted).toMatchObject({ ok: true, value: { threadAccountId: "account-id" } });

      // Each request is told to the ledger once: those of before the outbox too.
      for (let turn = 0; turn < 5; turn += 1) {
        nowMs += 2 * MINUTE_MS;
        await meter.alarm();
      }
      const facts = told.filter(({ request }) => ids.includes(request.id));
      expect(facts.map(({ seq }) => seq).sort()).toEqual(hasOutbox ? [2, 3] : [1, 2, 3]);
      expect(new Set(facts.map(({ request }) => request.id))).toEqual(
        new Set(hasOutbox ? [swept, open] : ids),
      );
    }),
  );
});

test("an account's object wakes up with the state that 0.1.0 stored", () =>
  runInDurableObject(fresh("CLAUDE_ACCOUNT"), async (_, { storage }) => {
    const vault = await Vault.open(KEY);
    const pushed: RosterRow[] = [];
    const make = () =>
      new Account({
        id: "account-id",
        storage,
        vault,
        oauth: { authorizeUrl: "", tokenUrl: "", clientId: "", redirectUri: "", scopes: "" },
        egress: new Egresses({ forwardProxies: [], forwardProxySecret: KEY }),
        now: () => START_MS,
        pushRow: async (row) => {
          pushed.push(row);
        },
        pushRemoval: async () => {},
        background: (_name, work) => void work,
        log: () => {},
      });
    const settings = { ...parseRosterRow(JSON.stringify(FIRST_ROSTER_ROW)), tags: [] };
    await make().create(
      settings,
      { kind: "api_key", access: "secret", refresh: null, expiresAtMs: null, scopes: [] },
      null,
    );
    const state = JSON.stringify(FIRST_ACCOUNT_STATE);
    storage.sql.exec("UPDATE account SET state = ?", state);
    // Tables that came later.
    for (const table of ["refresh_begun", "slots"]) storage.sql.exec(`DROP TABLE ${table}`);

    const account = make();
    expect(account.describe()).toMatchObject({
      name: "A",
      schedulable: true,
      weight: 1,
      maxConcurrency: null,
      revision: 3,
    });
    expect(await account.acquire(null)).toMatchObject({ ok: true, value: { secret: "secret" } });
    const verdict = { kind: "overloaded" } as const;
    expect(
      account.report({ verdict, family: "sonnet", windows: {}, atMs: START_MS }),
    ).toMatchObject({ revision: 4 });
  }));

describe("a Worker of an older version calls objects of this one", () => {
  /** As the call arrives: what the older Worker did not know is not there. */
  const sent = <T>(value: unknown): T => JSON.parse(JSON.stringify(value)) as T;

  test("a request is let in, settled and counted", async () => {
    const namespace = env.KEY_METER;
    const meter = namespace.get(namespace.idFromName(crypto.randomUUID()));
    const requestId = newRequestId(Date.now());
    const admission = sent<Admission>({ ...FIRST_ADMISSION, requestId, policy: OPEN });
    const admitted = await meter.exchange(
      sent<MeterBatch>({ settlements: [], admissions: [admission] }),
    );
    expect(sent(admitted)).toMatchObject([
      { ok: true, value: { threadAccountId: null, pinnedTo: null, isTight: false } },
    ]);
    const settlement = sent<Settlement>({ ...FIRST_SETTLEMENT, requestId });
    await meter.exchange({ settlements: [settlement], admissions: [] });
    const [record] = await meter.requests(1);
    expect(sent(record)).toMatchObject({
      id: requestId,
      state: "settled",
      accountId: "account-id",
    });
  });

  test("the roster is read and the row of an older object is taken in", async () => {
    const fleet = env.FLEET.get(env.FLEET.idFromName(crypto.randomUUID()));
    await fleet.push(sent<RosterRow>(FIRST_ROSTER_ROW));
    const snapshot = await fleet.snapshot(null);
    expect(snapshot).toMatchObject({ version: expect.any(Number), rows: [expect.any(String)] });
    expect(parseRosterRow(snapshot.rows?.[0] ?? "")).toMatchObject({ id: "account-id", weight: 1 });
    expect(await fleet.snapshot(snapshot.version)).toMatchObject({
      version: snapshot.version,
      rows: null,
    });
  });
});
