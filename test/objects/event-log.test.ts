import {
  evictDurableObject,
  reset,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  EVENT_LOG_NAME,
  type EventFilter,
  type LiveMessage,
} from "../../durable-objects/event-log/contract.ts";
import { KEEP_EVENTS, PRUNE_EVENTS } from "../../durable-objects/event-log/event-ring.ts";
import { issueSession } from "../../src/admin/session.ts";
import type { LogLevel } from "../../src/config.ts";
import { remote } from "../../src/durable-call.ts";
import { type LogEvent, logEvent } from "../../src/events/log-event.ts";

const ORIGIN = "https://relay.example";
const DAY_MS = 24 * 60 * 60_000;
const ALL: EventFilter = { level: "debug", categories: null, requestId: null };
const CONFIG = {
  jwtSecret: env.JWT_SECRET,
  adminUsername: env.ADMIN_USERNAME,
  adminPasswordHash: env.ADMIN_PASSWORD_HASH,
};
let token = "";

beforeEach(async () => {
  ({ token } = await issueSession(CONFIG, Date.now()));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

const stub = () => env.EVENT_LOG.getByName(EVENT_LOG_NAME);
const log = () => remote(env.EVENT_LOG, EVENT_LOG_NAME);

function event(
  name: string,
  level: LogLevel = "info",
  fields: Record<string, unknown> = {},
  atMs = Date.now(),
): LogEvent {
  return logEvent(level, name, fields, atMs);
}

let batches = 0;
/** Appends events as one batch of a source of their own. */
async function append(...events: LogEvent[]): Promise<void> {
  batches += 1;
  await log().append({ source: `test ${batches}`, number: 1, events });
}

const numbered = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) =>
    event("request.settled", "debug", { number: from + index }),
  );

const idsOf = async (
  filter: Partial<EventFilter> = {},
  before: number | null = null,
  limit = 100,
) => (await log().events({ ...ALL, ...filter }, before, limit)).events.map(({ id }) => id);

describe("the ring", () => {
  test("keeps each event whole, and pages from the newest on", async () => {
    await append(
      event("account.cooling_down", "warn", { accountId: "a", scope: "*", reason: "429" }, 1_000),
      event(
        "request.refused",
        "info",
        { requestId: "r", keyId: "k", reason: "key_disabled" },
        2_000,
      ),
      event("log.dropped", "warn", { dropped: 7 }, 3_000),
    );
    const first = await log().events(ALL, null, 2);
    expect(first).toMatchObject({ next: 2, newestId: 3 });
    const second = await log().events(ALL, first.next, 2);
    expect(second).toMatchObject({ next: null, newestId: 3 });
    expect(await log().events(ALL, null, 3)).toMatchObject({ next: null });
    const none = { requestId: null, keyId: null, accountId: null };
    expect([...first.events, ...second.events]).toEqual([
      {
        ...none,
        id: 3,
        at: "1970-01-01T00:00:03.000Z",
        level: "warn",
        category: "system",
        event: "log.dropped",
        detail: { dropped: 7 },
      },
      {
        id: 2,
        at: "1970-01-01T00:00:02.000Z",
        level: "info",
        category: "request",
        event: "request.refused",
        requestId: "r",
        keyId: "k",
        accountId: null,
        detail: { reason: "key_disabled" },
      },
      {
        ...none,
        id: 1,
        at: "1970-01-01T00:00:01.000Z",
        level: "warn",
        category: "account",
        event: "account.cooling_down",
        accountId: "a",
        detail: { scope: "*", reason: "429" },
      },
    ]);
  });

  test("filters by lowest level, by categories and by request", async () => {
    await append(
      event("request.settled", "debug", { requestId: "r1" }),
      event("request.refused", "info", { requestId: "r2" }),
      event("settle.failed", "error", { requestId: "r1" }),
      event("account.refreshed", "info"),
      event("admin.login_refused", "warn"),
      event("background.failed", "error"),
    );
    expect(await idsOf({ level: "warn" })).toEqual([6, 5, 3]);
    expect(await idsOf({ level: "error" })).toEqual([6, 3]);
    expect(await idsOf({ categories: ["request"] })).toEqual([3, 2, 1]);
    expect(await idsOf({ categories: ["account", "system"] })).toEqual([6, 4]);
    expect(await idsOf({ requestId: "r1" })).toEqual([3, 1]);
    expect(await idsOf({ requestId: "r1", level: "info" })).toEqual([3]);
    expect(await idsOf({ level: "info", categories: ["admin", "account"] }, 5)).toEqual([4]);
  });

  test("a batch that comes again, also after its object was evicted, is not taken twice", async () => {
    const batch = { source: "s", number: 1, events: numbered(1, 3) };
    await log().append(batch);
    await log().append(batch);
    await evictDurableObject(stub());
    await log().append(batch);
    expect(await idsOf()).toEqual([3, 2, 1]);
    await log().append({ source: "s", number: 2, events: numbered(4, 4) });
    await log().append(batch);
    await log().append({ source: "other", number: 1, events: numbered(5, 5) });
    expect(await idsOf()).toEqual([5, 4, 3, 2, 1]);
  });

  test("of a batch that cannot be written whole, nothing is written, and it can come again", async () => {
    const events = numbered(1, 2);
    const broken = [...events, { ...event("request.settled"), category: null as never }];
    // A rejected call of its own object would count as an error of this test: it is made inside.
    await runInDurableObject(stub(), async (object) => {
      await expect(object.append({ source: "s", number: 1, events: broken })).rejects.toThrow();
    });
    expect(await idsOf()).toEqual([]);
    await log().append({ source: "s", number: 1, events });
    expect(await idsOf()).toEqual([2, 1]);
  });

  test("forgets the oldest in one go, only once so many are too many", async () => {
    const count = () =>
      runInDurableObject(stub(), (_, state) =>
        state.storage.sql.exec<{ n: number }>("SELECT count(*) AS n FROM events").one(),
      );
    const most = KEEP_EVENTS + PRUNE_EVENTS - 1;
    await append(...numbered(1, most));
    expect(await count()).toEqual({ n: most });
    await append(...numbered(most + 1, most + 1));
    expect(await count()).toEqual({ n: KEEP_EVENTS });
    expect(await idsOf({}, PRUNE_EVENTS + 2)).toEqual([PRUNE_EVENTS + 1]);
    await append(...numbered(1, 10));
    expect(await count()).toEqual({ n: KEEP_EVENTS + 10 });
  });

  test("its alarm forgets what is two weeks old; ids go on from where they were", async () => {
    const nowMs = Date.now();
    const old = nowMs - 14 * DAY_MS - 1_000;
    await append(event("a.a", "info", {}, old), event("a.b", "info", {}, old));
    await append(event("a.c", "info", {}, nowMs - 13 * DAY_MS));
    expect(await runDurableObjectAlarm(stub())).toBe(true);
    expect(await idsOf()).toEqual([3]);
    vi.spyOn(Date, "now").mockReturnValue(nowMs + 15 * DAY_MS);
    await append(event("a.d", "info", {}, old));
    expect(await runDurableObjectAlarm(stub())).toBe(true);
    await evictDurableObject(stub());
    await append(event("a.e"));
    expect(await idsOf()).toEqual([5, 4]);
  });
});

interface Live {
  socket: WebSocket;
  messages: LiveMessage[];
  /** Numbers of the events that arrived. */
  numbers: () => unknown[];
  pongs: () => number;
  closed: Promise<{ code: number; reason: string }>;
  until: (met: () => boolean) => Promise<void>;
}

/** Looks on, as the admin API lets one. */
async function live(query = "", options: { acks?: boolean; token?: string } = {}): Promise<Live> {
  const answer = await exports.default.fetch(`${ORIGIN}/admin/logs/live${query}`, {
    headers: { upgrade: "websocket", authorization: `Bearer ${options.token ?? token}` },
  });
  const socket = answer.webSocket;
  if (socket === null) throw new Error(`no socket: ${answer.status}`);
  const messages: LiveMessage[] = [];
  let pongs = 0;
  const waiting = new Set<() => void>();
  socket.addEventListener("message", ({ data }) => {
    if (data === "pong") {
      pongs += 1;
    } else {
      const message = JSON.parse(String(data)) as LiveMessage;
      messages.push(message);
      if (message.type === "events" && options.acks !== false) {
        socket.send(JSON.stringify({ type: "ack", upTo: message.upTo }));
      }
    }
    for (const look of waiting) look();
  });
  const closed = new Promise<{ code: number; reason: string }>((settle) => {
    socket.addEventListener("close", ({ code, reason }) => settle({ code, reason }));
  });
  socket.accept();
  const events = () => messages.flatMap((sent) => (sent.type === "events" ? sent.events : []));
  return {
    socket,
    messages,
    numbers: () => events().map(({ detail }) => detail.number),
    pongs: () => pongs,
    closed,
    until: (met) =>
      new Promise((settle) => {
        const look = () => {
          if (!met()) return;
          waiting.delete(look);
          settle();
        };
        waiting.add(look);
        look();
      }),
  };
}

const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

describe("how often things happened", () => {
  const countsOf = async () =>
    Object.fromEntries(
      (await log().counts()).map(({ event, reason, times }) => [`${event} ${reason}`, times]),
    );

  test("is counted once a batch, by cause where that is a word, and outlasts the ring", async () => {
    const refused = (reason: string, more = {}) =>
      event("request.refused", "info", { reason, ...more });
    const batch = {
      source: "s",
      number: 1,
      events: [
        refused("key_unknown"),
        refused("key_unknown", { repeated: 40 }),
        refused("key_disabled"),
        event("request.refused", "info", { repeated: 3 }),
        event("account.refreshed"),
        event("account.cooling_down", "warn", { reason: "anything that upstream said" }),
      ],
    };
    await log().append(batch);
    await evictDurableObject(stub());
    await log().append(batch);
    await append(refused("key_disabled"));
    const counted = {
      "request.refused key_unknown": 41,
      "request.refused key_disabled": 2,
      "request.refused ": 3,
      "account.refreshed ": 1,
      "account.cooling_down ": 1,
    };
    expect(await countsOf()).toEqual(counted);
    await runInDurableObject(stub(), (_, { storage }) => {
      storage.sql.exec("UPDATE events SET at_ms = 0");
    });
    await runDurableObjectAlarm(stub());
    expect(await idsOf()).toEqual([7]);
    expect(await countsOf()).toEqual(counted);
  });
});

describe("the live log", () => {
  test("begins with what is new; after an id, with everything behind it; then goes on", async () => {
    await append(...numbered(1, 250));
    const fresh = await live();
    const resumed = await live("?after=100");
    await append(...numbered(251, 252));
    await append(...numbered(253, 253));
    await fresh.until(() => fresh.numbers().length === 3);
    await resumed.until(() => resumed.numbers().length === 153);
    expect(fresh.messages[0]).toEqual({ type: "hello", oldestId: 1, newestId: 250 });
    expect(fresh.numbers()).toEqual([251, 252, 253]);
    expect(resumed.numbers()).toEqual(range(101, 253));
  });

  test("sends what the filter lets through, with where it stands beyond the rest", async () => {
    const warnings = await live("?level=warn&category=account,system");
    await append(
      event("account.refreshed", "info", { number: 1 }),
      event("account.cooling_down", "warn", { number: 2 }),
      event("admin.login_refused", "warn", { number: 3 }),
      event("background.failed", "error", { number: 4 }),
      event("request.settled", "debug", { number: 5 }),
    );
    await append(...numbered(6, 1_010));
    await warnings.until(() => warnings.messages.length === 3);
    expect(warnings.messages.slice(1)).toMatchObject([
      { type: "events", events: [{ id: 2 }, { id: 4 }], upTo: 5 },
      { type: "events", events: [], upTo: 1_010 },
    ]);
  });

  test("outlasts hibernation: nothing is lost, and nothing comes twice", async () => {
    const watcher = await live("?level=info");
    await append(event("account.refreshed", "info", { number: 1 }));
    await watcher.until(() => watcher.numbers().length === 1);
    for (const number of [2, 3]) {
      await evictDurableObject(stub());
      await append(event("account.refreshed", "info", { number }), ...numbered(99, 99));
      await watcher.until(() => watcher.numbers().length === number);
    }
    expect(watcher.numbers()).toEqual([1, 2, 3]);
  });

  test("a ping is answered, and does not wake the object", async () => {
    const watcher = await live();
    await evictDurableObject(stub());
    watcher.socket.send("ping");
    await watcher.until(() => watcher.pongs() === 1);
    // What does not run cannot be evicted.
    await expect(evictDurableObject(stub())).rejects.toThrow();
  });

  test("who never acknowledges gets so much and no more, is closed, and resumes by id", async () => {
    const slow = await live("?after=0", { acks: false });
    await append(...numbered(1, 3_000));
    await slow.until(() => slow.numbers().length >= 1_000);
    await append(...numbered(3_001, 3_001));
    expect(await idsOf({}, null, 1)).toEqual([3_001]);
    expect(slow.numbers()).toEqual(range(1, 1_000));
    const laterMs = Date.now() + 30_000;
    vi.spyOn(Date, "now").mockReturnValue(laterMs);
    await append(...numbered(3_002, 3_002));
    expect(await slow.closed).toMatchObject({
      code: 4408,
      reason: expect.stringContaining("Resume after the last id"),
    });
    expect(slow.numbers()).toHaveLength(1_000);
    const again = await live("?after=1000");
    await again.until(() => again.numbers().length === 2_002);
    expect(again.numbers()).toEqual(range(1_001, 3_002));
  });

  test("who acknowledges late gets all of it in the end, in order and once", async () => {
    const late = await live("?after=0", { acks: false });
    await append(...numbered(1, 1_500));
    await late.until(() => late.numbers().length === 1_000);
    vi.spyOn(Date, "now").mockReturnValue(Date.now() + 29_000);
    late.socket.send(JSON.stringify({ type: "ack", upTo: 100 }));
    await late.until(() => late.numbers().length === 1_100);
    late.socket.send(JSON.stringify({ type: "ack", upTo: 1_100 }));
    await late.until(() => late.numbers().length === 1_500);
    expect(late.numbers()).toEqual(range(1, 1_500));
  });

  test("says which events are gone where they are asked for", async () => {
    await append(...numbered(1, KEEP_EVENTS + PRUNE_EVENTS));
    const oldest = PRUNE_EVENTS + 1;
    const behind = await live("?after=10");
    await behind.until(() => behind.messages.length > 2);
    expect(behind.messages.slice(0, 3)).toMatchObject([
      { type: "hello", oldestId: oldest },
      { type: "gap", from: 11, to: oldest - 1 },
      { type: "events", events: [{ id: oldest }, ...Array(99).fill({})] },
    ]);
    const exact = await live(`?after=${oldest - 1}`);
    await exact.until(() => exact.messages.length > 1);
    expect(exact.messages[1]).toMatchObject({
      type: "events",
      events: [{ id: oldest }, ...Array(99).fill({})],
    });
  });

  test("after an id that the log never reached, everything that there is comes", async () => {
    await append(...numbered(1, 2));
    const ahead = await live("?after=500");
    await ahead.until(() => ahead.messages.length === 3);
    expect(ahead.messages).toMatchObject([
      { type: "hello", newestId: 2 },
      { type: "gap", from: 3, to: 500 },
      { type: "events", events: [{ id: 1 }, { id: 2 }] },
    ]);
  });

  test.each<[string, string | Uint8Array]>([
    ["no JSON", "hello"],
    ["JSON of another kind", '{"type":"ack","upTo":"1"}'],
    ["null", "null"],
    ["bytes", new Uint8Array([1, 2, 3])],
    ["more than any acknowledgement has", `{"type":"ack","upTo":1${" ".repeat(100_000)}}`],
    ["an acknowledgement of what was not sent", '{"type":"ack","upTo":9}'],
  ])("a client that sends %s is closed with the reason", async (_, message) => {
    const watcher = await live();
    const other = await live();
    watcher.socket.send(message);
    expect(await watcher.closed).toMatchObject({
      code: 4400,
      reason: expect.stringContaining("acknowledgements"),
    });
    await append(...numbered(1, 1));
    await other.until(() => other.numbers().length === 1);
  });

  test("ends with its session: by signing out at once, by its time at the next event", async () => {
    const [mine, other] = await Promise.all([
      issueSession(CONFIG, Date.now()),
      issueSession(CONFIG, Date.now()),
    ]);
    const ended = await live("", { token: mine.token });
    const stays = await live("", { token: other.token });
    await exports.default.fetch(`${ORIGIN}/admin/logout`, {
      method: "POST",
      headers: { authorization: `Bearer ${mine.token}` },
    });
    expect(await ended.closed).toMatchObject({ code: 4401 });
    await append(...numbered(1, 1));
    await stays.until(() => stays.numbers().length === 1);
    vi.spyOn(Date, "now").mockReturnValue(other.session.expiresAtMs);
    await append(...numbered(2, 2));
    expect(await stays.closed).toMatchObject({ code: 4401 });
    expect(stays.numbers()).toEqual([1]);
  });

  test("a goodbye is answered, and whoever has gone is forgotten", async () => {
    const watcher = await live();
    watcher.socket.close(1000);
    expect(await watcher.closed).toMatchObject({ code: 1000 });
    await append(...numbered(1, 1));
    const open = await runInDurableObject(stub(), (_, state) => state.getWebSockets().length);
    expect(open).toBe(0);
  });

  test("has room for fifty, and says so to the next", async () => {
    await Promise.all(Array.from({ length: 50 }, () => live()));
    const answer = await exports.default.fetch(`${ORIGIN}/admin/logs/live`, {
      headers: { upgrade: "websocket", authorization: `Bearer ${token}` },
    });
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({
      error: "unavailable",
      message: expect.stringContaining("Too many live logs are open."),
    });
  });
});

describe("who may look on", () => {
  const status = async (headers: Record<string, string>, path = "/admin/logs/live") => {
    const answer = await exports.default.fetch(ORIGIN + path, { headers });
    answer.webSocket?.accept();
    return answer.status;
  };
  const upgrade = { upgrade: "websocket" };
  const cookie = () => ({ cookie: `relay_session=${token}` });

  test("another site's page cannot, though the browser sends the cookie along", async () => {
    for (const origin of ["https://evil.example", "http://relay.example", "null"]) {
      expect(await status({ ...upgrade, ...cookie(), origin }), origin).toBe(403);
    }
    expect(await status({ ...upgrade, ...cookie() })).toBe(403);
    expect(await status({ upgrade: "WebSocket", ...cookie() })).toBe(403);
    expect(await status({ ...upgrade, ...cookie(), origin: ORIGIN })).toBe(101);
  });

  test("nobody without a session, and no WebSocket is no live log", async () => {
    expect(await status(upgrade)).toBe(401);
    expect(await status({ ...upgrade, authorization: "Bearer x" })).toBe(401);
    expect(await status({ authorization: `Bearer ${token}` })).toBe(426);
  });

  test.each([
    "/admin/logs?level=loud",
    "/admin/logs?category=request,gossip",
    "/admin/logs?limit=0",
    "/admin/logs?limit=501",
    "/admin/logs?before=yesterday",
    "/admin/logs?colour=red",
    `/admin/logs?requestId=${"r".repeat(101)}`,
    "/admin/logs/live?after=-1",
    "/admin/logs/live?before=3",
  ])("%s is refused in words", async (path) => {
    const answer = await exports.default.fetch(ORIGIN + path, {
      headers: {
        authorization: `Bearer ${token}`,
        ...(path.includes("live") ? upgrade : {}),
      },
    });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: "bad_request" });
  });
});
