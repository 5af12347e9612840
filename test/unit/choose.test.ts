import { describe, expect, test } from "vitest";
import { type ChoiceInput, choose } from "../../src/accounts/choose.ts";
import { AccountLoad } from "../../src/accounts/load.ts";
import { Pool } from "../../src/accounts/pool.ts";
import { RETURN_MS, type RosterRow, shareOfReturn } from "../../src/accounts/roster-row.ts";
import { rowOf } from "./roster-rows.ts";

const NOW_MS = Date.UTC(2026, 10, 23, 12, 0, 0);
const POLICY = { canReachProxies: false, nearLimit: 0.9 };

interface Asked extends Partial<Omit<ChoiceInput, "pool">> {
  rows?: RosterRow[];
  pool?: Pool;
}

function ask({ rows = [], pool, ...patch }: Asked) {
  return choose({
    pool: pool ?? new Pool(rows, POLICY),
    load: new AccountLoad(),
    family: "sonnet",
    keyId: "key",
    session: null,
    pinnedTo: null,
    onlyAccountId: null,
    boundTo: null,
    exclude: new Set(),
    nowMs: NOW_MS,
    ...patch,
  });
}

function chosen(asked: Asked): string | null {
  const choice = ask(asked);
  return choice.ok ? choice.row.id : null;
}

function shares(asked: Asked, sessions: readonly string[]): Map<string | null, number> {
  const counts = new Map<string | null, number>();
  const { rows = [], ...rest } = asked;
  const pool = new Pool(rows, POLICY);
  for (const session of sessions) {
    const id = chosen({ ...rest, pool, session });
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
}

const five = ["a", "b", "c", "d", "e"].map((id) => rowOf(id));
const sessions = Array.from({ length: 1_000 }, (_, index) => `session-${index}`);
const rest = (scope: string, sinceMs: number, untilMs: number) => ({
  coolDowns: [{ scope, kind: "rate_limited" as const, sinceMs, untilMs, reason: "r" }],
});

describe("a new session", () => {
  test("always goes to the same account, whatever the order of the roster", () => {
    for (const session of sessions.slice(0, 100)) {
      const first = chosen({ rows: five, session });
      expect(chosen({ rows: [...five].reverse(), session })).toBe(first);
    }
  });

  test("a thousand of them spread over five accounts within a fifth of even", () => {
    const counts = shares({ rows: five }, sessions);
    expect(counts.size).toBe(5);
    for (const count of counts.values()) {
      expect(count).toBeGreaterThanOrEqual(160);
      expect(count).toBeLessThanOrEqual(240);
    }
  });

  test("goes by weight: three times the weight, three times the sessions", () => {
    const rows = [rowOf("light"), rowOf("heavy", { weight: 3 })];
    const heavy = shares({ rows }, sessions).get("heavy") ?? 0;
    expect(heavy).toBeGreaterThan(700);
    expect(heavy).toBeLessThan(800);
  });

  test("with one account gone only that account's sessions move", () => {
    const without = five.filter(({ id }) => id !== "c");
    for (const session of sessions) {
      const before = chosen({ rows: five, session });
      const after = chosen({ rows: without, session });
      if (before !== "c") expect(after).toBe(before);
    }
  });

  test("with another weight on one account, sessions move to or from that account only", () => {
    const rows = five.map((row) => (row.id === "c" ? { ...row, weight: 4 } : row));
    const moved = sessions
      .map((session) => [chosen({ rows: five, session }), chosen({ rows, session })])
      .filter(([before, after]) => before !== after);
    expect(moved.length).toBeGreaterThan(100);
    expect(new Set(moved.map(([, after]) => after))).toEqual(new Set(["c"]));
  });

  test("of one key says nothing of another key's", () => {
    const moved = sessions.filter(
      (session) =>
        chosen({ rows: five, session }) !== chosen({ rows: five, session, keyId: "other" }),
    );
    expect(moved.length).toBeGreaterThan(700);
  });

  test("goes past an account near a limit, even to a later tier, while another can take it", () => {
    const near = rowOf("near", { priority: 1, windows: { "5h": { utilisation: 0.95 } } });
    const warned = rowOf("warned", {
      priority: 1,
      windows: { "5h": { status: "allowed_warning" } },
    });
    const later = rowOf("later", { priority: 90 });
    expect(shares({ rows: [near, warned, later] }, sessions)).toEqual(new Map([["later", 1_000]]));
    expect(shares({ rows: [near, warned] }, sessions).size).toBe(2);
  });

  test("goes past an account that takes no new work, and past one whose time is over", () => {
    const rows = [
      rowOf("draining", { schedulable: false }),
      rowOf("expired", { expiresAtMs: NOW_MS }),
      rowOf("open", { expiresAtMs: NOW_MS + 1 }),
    ];
    expect(shares({ rows }, sessions)).toEqual(new Map([["open", 1_000]]));
  });
});

describe("a session that is on an account", () => {
  test("stays there, whatever the hash, the weights, the tiers or a near limit say", () => {
    const rows = [
      ...five,
      rowOf("pinned", { priority: 99, schedulable: false, windows: { "7d": { utilisation: 1 } } }),
    ];
    for (const session of sessions.slice(0, 50)) {
      expect(ask({ rows, session, pinnedTo: "pinned" })).toMatchObject({
        ok: true,
        row: { id: "pinned" },
        by: "pin",
      });
    }
  });

  test.each([
    ["rests", rest("*", NOW_MS - 1, NOW_MS + 1)],
    ["is switched off", { enabled: false }],
    ["has been tried by this request", {}],
  ] as [string, Partial<RosterRow>][])("moves where that account %s", (what, patch) => {
    const rows = [rowOf("pinned", patch), rowOf("other")];
    const exclude = new Set(what.startsWith("has been tried") ? ["pinned"] : []);
    expect(chosen({ rows, session: "s", pinnedTo: "pinned", exclude })).toBe("other");
  });

  test("moves where its key was bound to other accounts meanwhile", () => {
    const rows = [rowOf("pinned"), rowOf("team", { tags: ["team"] })];
    const boundTo = { kind: "tag", value: "team" } as const;
    expect(chosen({ rows, session: "s", pinnedTo: "pinned", boundTo })).toBe("team");
  });

  test("moves where the account is gone", () => {
    expect(chosen({ rows: five, session: "s", pinnedTo: "gone" })).toMatch(/^[a-e]$/);
  });
});

describe("any request", () => {
  test("uses up a lower tier before the next", () => {
    const rows = [rowOf("second", { priority: 60 }), rowOf("first", { priority: 10 })];
    expect(chosen({ rows })).toBe("first");
    expect(chosen({ rows, session: "s", exclude: new Set(["first"]) })).toBe("second");
  });

  test("without a session goes where most is free, then where least runs, then where nothing ran longest", () => {
    const busy = rowOf("busy", { windows: { "5h": { utilisation: 0.8 } } });
    const idle = rowOf("idle", { windows: { "5h": { utilisation: 0.2 } } });
    expect(chosen({ rows: [busy, idle] })).toBe("idle");
    const load = new AccountLoad();
    const two = [rowOf("a"), rowOf("b")] as const;
    const onA = load.enter(two[0], NOW_MS);
    expect(chosen({ rows: [...two], load })).toBe("b");
    load.enter(two[1], NOW_MS + 1).leave();
    onA.leave();
    expect(chosen({ rows: [...two], load })).toBe("a");
    load.enter(two[0], NOW_MS + 2).leave();
    expect(chosen({ rows: [...two], load })).toBe("b");
  });

  test("without a session spreads by weight what runs at once", () => {
    const rows = [rowOf("light"), rowOf("heavy", { weight: 3 })];
    const load = new AccountLoad();
    const counts = { light: 0, heavy: 0 };
    for (let index = 0; index < 40; index += 1) {
      const choice = ask({ rows, load });
      if (!choice.ok) throw new Error("none chosen");
      counts[choice.row.id as keyof typeof counts] += 1;
      load.enter(choice.row, NOW_MS);
    }
    expect(counts).toEqual({ light: 10, heavy: 30 });
  });

  test.each([
    ["switched off", { enabled: false }, "disabled"],
    ["past its time", { expiresAtMs: NOW_MS }, "expired"],
    ["taking no new work", { schedulable: false }, "not_schedulable"],
    [
      "in need of a login",
      { trouble: { kind: "needs_relogin", detail: "", sinceMs: 0, untilMs: null } },
      "trouble",
    ],
    ["behind a proxy that cannot be dialled", { hasProxy: true }, "no_egress"],
    ["resting for this family", rest("sonnet", NOW_MS - 1, NOW_MS + 1), "cooling_down"],
    ["resting as a whole", rest("*", NOW_MS - 1, NOW_MS + 1), "cooling_down"],
  ] as [string, Partial<RosterRow>, string][])(
    "does not go to an account that is %s, and says why",
    (_, patch, kind) => {
      const choice = ask({ rows: [rowOf("a", patch)] });
      expect(choice.ok ? "chosen" : choice.none.standings[0]?.standing.kind).toBe(kind);
    },
  );

  test("is not concerned by a rest of another family", () => {
    const row = rowOf("a", rest("opus", NOW_MS - 1, NOW_MS + 1));
    expect(chosen({ rows: [row] })).toBe("a");
  });

  test("of a thread goes to its account, and nowhere else", () => {
    expect(chosen({ rows: five, onlyAccountId: "d" })).toBe("d");
    expect(chosen({ rows: five, onlyAccountId: "d", exclude: new Set(["d"]) })).toBeNull();
    const boundTo = { kind: "account", value: "a" } as const;
    expect(chosen({ rows: five, onlyAccountId: "d", boundTo })).toBeNull();
  });

  test("of a key bound to an account goes there even where that takes no new work", () => {
    const rows = [rowOf("own", { schedulable: false }), rowOf("other")];
    const boundTo = { kind: "account", value: "own" } as const;
    expect(ask({ rows, session: "s", boundTo })).toMatchObject({ row: { id: "own" }, by: "bound" });
    expect(chosen({ rows, boundTo, exclude: new Set(["own"]) })).toBeNull();
  });

  test("of a key bound to a tag goes to the accounts that carry it, and to no other", () => {
    const rows = [rowOf("a"), rowOf("b", { tags: ["team"] }), rowOf("c", { tags: ["team"] })];
    const boundTo = { kind: "tag", value: "team" } as const;
    expect([...shares({ rows, boundTo }, sessions).keys()].sort()).toEqual(["b", "c"]);
    const unknown = { kind: "tag", value: "nobody" } as const;
    expect(ask({ rows, boundTo: unknown })).toEqual({ ok: false, none: { standings: [] } });
  });
});

describe("an order that is kept", () => {
  test("ends with the rest of an account: it serves from that very millisecond on", () => {
    const pool = new Pool([rowOf("a", rest("*", NOW_MS - 1_000, NOW_MS + 500))], POLICY);
    expect(chosen({ pool, session: "s" })).toBeNull();
    expect(chosen({ pool, session: "s", nowMs: NOW_MS + 499 })).toBeNull();
    expect(chosen({ pool, session: "s", nowMs: NOW_MS + 500 })).toBe("a");
  });

  test("ends with a rest also where another account serves meanwhile", () => {
    const resting = rowOf("a", { ...rest("*", NOW_MS - 1_000, NOW_MS + 500), priority: 1 });
    const pool = new Pool([resting, rowOf("b", { priority: 2 })], POLICY);
    expect(chosen({ pool, session: "s" })).toBe("b");
    expect(chosen({ pool, session: "s", nowMs: NOW_MS + 500 })).toBe("a");
  });

  test("ends with an account's own time", () => {
    const pool = new Pool([rowOf("a", { expiresAtMs: NOW_MS + 300 })], POLICY);
    expect(chosen({ pool, session: "s", nowMs: NOW_MS + 299 })).toBe("a");
    expect(chosen({ pool, session: "s", nowMs: NOW_MS + 300 })).toBeNull();
  });
});

describe("after a rest", () => {
  const untilMs = NOW_MS + 60_000;
  const back = rowOf("back", rest("*", NOW_MS, untilMs));
  const rows = [back, rowOf("steady")];

  test("new sessions come back step by step: few at first, half of its share in the middle, all in the end", () => {
    const at = (sinceMs: number) =>
      shares({ rows, nowMs: untilMs + sinceMs }, sessions).get("back") ?? 0;
    expect(at(0)).toBeLessThan(100);
    expect(at(RETURN_MS / 2)).toBeGreaterThan(250);
    expect(at(RETURN_MS / 2)).toBeLessThan(420);
    expect(at(RETURN_MS)).toBeGreaterThan(440);
  });

  test("requests without a session come back step by step too, though it has the most headroom", () => {
    const steady = rowOf("steady", { windows: { "5h": { utilisation: 0.5 } } });
    const pool = new Pool([back, steady], POLICY);
    const at = (sinceMs: number) =>
      Array.from({ length: 1_000 }, () => chosen({ pool, nowMs: untilMs + sinceMs })).filter(
        (id) => id === "back",
      ).length;
    expect(at(0)).toBeLessThan(150);
    expect(at(RETURN_MS)).toBe(1_000);
  });

  test("an account that is alone takes everything at once: nobody is refused for its sake", () => {
    expect(shares({ rows: [back], nowMs: untilMs }, sessions)).toEqual(new Map([["back", 1_000]]));
    expect(chosen({ rows: [back], nowMs: untilMs })).toBe("back");
  });

  test("a rest of two seconds is over after two more", () => {
    const row = rowOf("a", rest("sonnet", NOW_MS, NOW_MS + 2_000));
    expect(shareOfReturn(row, "sonnet", NOW_MS + 3_000)).toBe(0.5);
    expect(shareOfReturn(row, "sonnet", NOW_MS + 4_000)).toBe(1);
    expect(shareOfReturn(row, "opus", NOW_MS + 3_000)).toBe(1);
  });
});

describe("an account whose circuit breaker opened", () => {
  const row = rowOf("a", { isHalfOpen: true });

  test("is tried with one request, and the others wait or go elsewhere", () => {
    const load = new AccountLoad();
    load.enter(row, NOW_MS);
    const choice = ask({ rows: [row], load });
    expect(choice.ok ? "chosen" : choice.none.standings[0]?.standing.kind).toBe("on_trial");
    expect(chosen({ rows: [row, rowOf("b")], load, session: "s", pinnedTo: "a" })).toBe("b");
  });

  test("gets twice as many at once with each success, and everything in the end", () => {
    const load = new AccountLoad();
    const fill = () => {
      const stays = [];
      while (load.mayEnter(row, NOW_MS) && stays.length < 1_000) {
        stays.push(load.enter(row, NOW_MS));
      }
      return stays;
    };
    const rounds: number[] = [];
    for (let round = 0; round < 6; round += 1) {
      const stays = fill();
      rounds.push(stays.length);
      stays[0]?.judged(false);
      for (const stay of stays) stay.leave();
    }
    expect(rounds).toEqual([1, 2, 4, 8, 16, 32]);
    const well = { ...row, isHalfOpen: false };
    for (let index = 0; index < 100; index += 1) load.enter(well, NOW_MS);
    expect(load.mayEnter(well, NOW_MS)).toBe(true);
  });

  test("begins anew with one request after a failure", () => {
    const load = new AccountLoad();
    load.enter(row, NOW_MS).judged(false);
    load.enter(row, NOW_MS).judged(true);
    load.enter(row, NOW_MS);
    expect(load.mayEnter(row, NOW_MS)).toBe(false);
  });

  test("is not given up on because a trial was never heard of again", () => {
    const load = new AccountLoad();
    load.enter(row, NOW_MS);
    expect(load.mayEnter(row, NOW_MS + 59_000)).toBe(false);
    expect(load.mayEnter(row, NOW_MS + 61_000)).toBe(true);
  });
});

test("a request that has left twice counts once", () => {
  const load = new AccountLoad();
  const row = rowOf("a");
  const stay = load.enter(row, NOW_MS);
  load.enter(row, NOW_MS);
  expect([stay.leave(), stay.leave()]).toEqual([true, false]);
  expect(load.inFlight("a")).toBe(1);
});
