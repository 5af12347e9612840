import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, expect, test } from "vitest";
import { AccountWatch } from "../../durable-objects/fleet/account-watch.ts";
import type { AccountTrouble, CoolDown, RosterRow } from "../../src/accounts/roster-row.ts";
import type { AccountPicture } from "../../src/alerts/account-incidents.ts";
import { rowOf } from "../unit/roster-rows.ts";

afterEach(() => reset());

/** Far ahead: the runtime fires an alarm of the past at once, and the test would not move the clock. */
const START_MS = Date.UTC(2099, 10, 30, 7, 0, 0);
const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;

type Told = Pick<AccountPicture, "incidents" | "watched">;

/** The roster and its watch, as the Fleet holds them. */
class Bench {
  nowMs = START_MS;
  isDeaf = false;
  canReachProxies = true;
  readonly told: Told[] = [];
  readonly logged: string[] = [];
  readonly storage: DurableObjectStorage;
  readonly #rows = new Map<string, string>();
  #watch!: AccountWatch;

  constructor(storage: DurableObjectStorage) {
    this.storage = storage;
    this.wakeUp();
  }

  /** What an object that wakes up knows: the rows and its alarm. */
  wakeUp(): void {
    this.#watch = new AccountWatch({
      storage: this.storage,
      now: () => this.nowMs,
      rows: () => [...this.#rows.values()],
      canReachProxies: () => this.canReachProxies,
      tell: async (picture) => {
        if (this.isDeaf) throw new Error("the alerts do not answer");
        this.told.push(picture);
      },
      log: (level, event) => this.logged.push(`${level} ${event}`),
    });
  }

  put(id: string, patch: Partial<RosterRow> = {}): Promise<void> {
    const before = this.#rows.get(id) ?? null;
    const row = rowOf(id, patch);
    this.#rows.set(id, JSON.stringify(row));
    return this.#watch.noteChange(before, row);
  }

  remove(id: string): Promise<void> {
    const before = this.#rows.get(id) ?? null;
    this.#rows.delete(id);
    return this.#watch.noteChange(before, null);
  }

  async alarmsUntil(atMs: number): Promise<void> {
    for (;;) {
      const alarmAtMs = await this.storage.getAlarm();
      if (alarmAtMs === null || alarmAtMs > atMs) break;
      this.nowMs = Math.max(this.nowMs, alarmAtMs);
      await this.storage.deleteAlarm();
      await this.#watch.alarm();
    }
    this.nowMs = atMs;
  }

  /** Each picture that was told, in short: what is wrong, and who is watched. */
  get pictures(): string[] {
    return this.told.map(
      ({ incidents, watched }) => `${incidents.map(({ id }) => id).join()} of ${watched.join()}`,
    );
  }
}

function withBench(run: (bench: Bench) => Promise<void>): Promise<void> {
  return runInDurableObject(env.FLEET.getByName(crypto.randomUUID()), (_, { storage }) =>
    run(new Bench(storage)),
  );
}

const TROUBLE: AccountTrouble = {
  ...{ kind: "org_disabled", detail: "switched off", sinceMs: START_MS, untilMs: null },
};

test("accounts that change at the same time are told a second later, once, as they stand then", () =>
  withBench(async (bench) => {
    await bench.put("a");
    await bench.put("b", { trouble: TROUBLE });
    await bench.put("c");
    await bench.put("b");
    await bench.alarmsUntil(START_MS + SECOND_MS - 1);
    expect(bench.told).toEqual([]);
    await bench.alarmsUntil(START_MS + SECOND_MS);
    expect(bench.pictures).toEqual([" of a,b,c"]);
    await bench.put("a", { trouble: TROUBLE });
    await bench.alarmsUntil(START_MS + MINUTE_MS);
    expect(bench.told[1]).toEqual({
      incidents: [
        {
          ...{ id: "account:a", kind: "account_unusable", cause: "org_disabled" },
          ...{ subject: { type: "account", id: "a", name: "a" }, reason: "switched off" },
          ...{ sinceMs: START_MS, untilMs: null },
        },
      ],
      watched: ["a", "b", "c"],
    });
    expect(bench.told).toHaveLength(2);
  }));

test("changes that go on and on do not put off what is to be told", () =>
  withBench(async (bench) => {
    for (let turn = 0; turn < 4; turn += 1) {
      await bench.put("a", { name: `name ${turn}` });
      await bench.alarmsUntil(START_MS + (turn + 1) * 300);
    }
    expect(bench.told).toHaveLength(1);
  }));

test("what nobody would be told of wakes nobody", () =>
  withBench(async (bench) => {
    await bench.put("a");
    await bench.alarmsUntil(START_MS + SECOND_MS);
    const figures = { revision: 2, generation: 3, isSuspect: true, priority: 9, description: "x" };
    await bench.put("a", figures);
    expect(await bench.storage.getAlarm()).toBeNull();
  }));

test.each<[string, Partial<RosterRow>]>([
  ["its name", { name: "another" }],
  ["its switch", { enabled: false }],
  ["its end", { expiresAtMs: START_MS + MINUTE_MS }],
  ["its proxy", { hasProxy: true }],
  ["its trouble", { trouble: TROUBLE }],
  [
    "its rest",
    {
      coolDowns: [
        { scope: "*", kind: "failing", sinceMs: START_MS, untilMs: START_MS, reason: "r" },
      ],
    },
  ],
  ["its breaker", { isHalfOpen: true }],
])("an account is looked at again where it changes in %s", (_, patch) =>
  withBench(async (bench) => {
    await bench.put("a");
    await bench.alarmsUntil(START_MS + SECOND_MS);
    await bench.put("a", patch);
    expect(await bench.storage.getAlarm()).toBe(START_MS + 2 * SECOND_MS);
  }),
);

test("the same picture is told once by an instance, and once more by one that woke up", () =>
  withBench(async (bench) => {
    await bench.put("a", { hasProxy: true });
    await bench.alarmsUntil(START_MS + SECOND_MS);
    await bench.put("a");
    await bench.alarmsUntil(START_MS + MINUTE_MS);
    expect(bench.told).toHaveLength(1);
    bench.wakeUp();
    await bench.put("a", { hasProxy: true });
    await bench.alarmsUntil(START_MS + 2 * MINUTE_MS);
    expect(bench.told).toHaveLength(2);
  }));

test("what was not heard is told again in 15 s, as it stands then, and each time in vain is logged", () =>
  withBench(async (bench) => {
    bench.isDeaf = true;
    await bench.put("a", { trouble: TROUBLE });
    await bench.alarmsUntil(START_MS + SECOND_MS);
    expect(await bench.storage.getAlarm()).toBe(START_MS + 16 * SECOND_MS);
    await bench.alarmsUntil(START_MS + 16 * SECOND_MS);
    expect(bench.logged).toEqual(["warn alert.not_told", "warn alert.not_told"]);
    bench.isDeaf = false;
    await bench.remove("a");
    await bench.alarmsUntil(START_MS + MINUTE_MS);
    expect(bench.pictures).toEqual([" of "]);
    expect(bench.logged).toHaveLength(2);
  }));

test("a change while the next look is far away brings it forward, also in an object that woke up", () =>
  withBench(async (bench) => {
    bench.isDeaf = true;
    await bench.put("a");
    await bench.alarmsUntil(START_MS + SECOND_MS);
    bench.isDeaf = false;
    bench.wakeUp();
    await bench.put("b");
    expect(await bench.storage.getAlarm()).toBe(START_MS + 2 * SECOND_MS);
  }));

test("an object that woke up does not put off an alarm that is set", () =>
  withBench(async (bench) => {
    await bench.put("a");
    bench.nowMs += 500;
    bench.wakeUp();
    await bench.put("b");
    expect(await bench.storage.getAlarm()).toBe(START_MS + SECOND_MS);
  }));

test("what ends or begins by time alone is told then: a spend limit, a rest, an account's own end", () =>
  withBench(async (bench) => {
    const inMinutes = (minutes: number) => START_MS + minutes * MINUTE_MS;
    const rest: CoolDown = {
      ...{ scope: "*", kind: "rate_limited", sinceMs: START_MS, untilMs: inMinutes(1) },
      reason: "rate limited",
    };
    const spent: AccountTrouble = { ...TROUBLE, kind: "spend_limited", untilMs: inMinutes(2) };
    await bench.put("a", { coolDowns: [rest] });
    await bench.put("b", { trouble: spent, expiresAtMs: inMinutes(3) });
    await bench.alarmsUntil(START_MS + SECOND_MS);
    expect(bench.pictures).toEqual(["account:b,pool:* of a,b"]);
    await bench.alarmsUntil(inMinutes(1) + 1);
    expect(bench.pictures.slice(1)).toEqual(["account:b of a,b"]);
    await bench.alarmsUntil(inMinutes(2) + 1);
    expect(bench.pictures.slice(2)).toEqual([" of a,b"]);
    await bench.alarmsUntil(inMinutes(3) + 1);
    expect(bench.pictures.slice(3)).toEqual([" of a"]);
    expect(await bench.storage.getAlarm()).toBeNull();
  }));

test("accounts with a proxy serve nobody where there is no forward proxy, and that is told", () =>
  withBench(async (bench) => {
    bench.canReachProxies = false;
    await bench.put("a", { hasProxy: true });
    await bench.alarmsUntil(START_MS + SECOND_MS);
    expect(bench.told[0]?.incidents).toMatchObject([
      { id: "pool:*", reason: "1 × no forward proxy" },
    ]);
  }));
