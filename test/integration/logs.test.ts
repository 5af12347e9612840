import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { StoredEvent } from "../../durable-objects/event-log/contract.ts";
import { faults } from "../fixtures/fake-upstream/index.ts";
import { ADMIN, type RelayKey, TestRelay } from "../fixtures/relay.ts";

/** Ten seconds of events; a machine that is busy with other tests may take much longer. */
const LOADED_MACHINE_MS = 120_000;
const LOST = "The connection is lost. Trying again …";
const AGAIN = "Connected again.";
const CLI = resolve(import.meta.dirname, "../../scripts/cli.ts");

let relay: TestRelay;
let key: RelayKey;
let accountId = "";
const children: ChildProcess[] = [];
const home = mkdtempSync(join(tmpdir(), "relay-logs-test-"));

beforeAll(async () => {
  relay = await TestRelay.start({ vars: { LOG_LEVEL: "debug" } });
  accountId = await relay.addApiKeyAccount("first", { priority: 1 });
  key = await relay.createKey();
});
afterAll(async () => {
  // A test that failed has left its command running.
  for (const child of children) child.kill("SIGKILL");
  await relay.stop();
  rmSync(home, { recursive: true, force: true });
});

function start(args: string[], env: Record<string, string> = {}): ChildProcess {
  const child = spawn(process.execPath, [CLI, "logs", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env.PATH,
      HOME: home,
      RELAY_STATE_DIR: home,
      RELAY_URL: relay.url,
      ADMIN_PASSWORD: ADMIN.password,
      ...env,
    },
  });
  children.push(child);
  return child;
}

async function cli(args: string[], env: Record<string, string> = {}) {
  const child = start(args, env);
  const text = async (stream: NodeJS.ReadableStream | null) => {
    let all = "";
    for await (const chunk of stream ?? []) all += String(chunk);
    return all;
  };
  const [stdout, stderr] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    child.exitCode === null ? once(child, "close") : null,
  ]);
  return { exitCode: child.exitCode, stdout, stderr };
}

/** The lines that a command has written so far, and what it takes to wait for one. */
function linesOf(stream: NodeJS.ReadableStream | null): {
  lines: string[];
  until: (met: (lines: string[]) => boolean) => Promise<void>;
} {
  if (stream === null) throw new Error("not piped");
  const lines: string[] = [];
  let hasEnded = false;
  let look = () => {};
  const reader = createInterface({ input: stream });
  reader.on("line", (line) => {
    lines.push(line);
    look();
  });
  reader.on("close", () => {
    hasEnded = true;
    look();
  });
  return {
    lines,
    until: (met) =>
      new Promise((settle, fail) => {
        look = () => {
          if (met(lines)) settle();
          else if (hasEnded) fail(new Error(`it ended, and had said: ${lines.join("\n")}`));
        };
        look();
      }),
  };
}

/** A way to the relay, wherever it is, whose connections can be cut without a goodbye. */
async function cuttable(): Promise<{ url: string; cut: () => void; close: () => void }> {
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const { hostname, port } = new URL(relay.url);
    const far = connect(Number(port), hostname);
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        open.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far).pipe(near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    for (const socket of open) socket.resetAndDestroy();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    close: () => {
      cut();
      server.close();
    },
  };
}

const settledIds = (events: StoredEvent[]) =>
  events.filter(({ event }) => event === "request.settled").map(({ requestId }) => requestId);

test("at two hundred events a second the live log shows each once, over three cut connections", {
  timeout: LOADED_MACHINE_MS,
}, async () => {
  const way = await cuttable();
  const child = start(["--follow", "--json", "--limit", "1", "--url", way.url]);
  const [shown, said] = [linesOf(child.stdout), linesOf(child.stderr)];
  await shown.until((lines) => lines.length >= 1);

  const [times, every] = [2_000, 5];
  const send = async () => {
    const answer = await relay.message(key, { max_tokens: 1 });
    await answer.arrayBuffer();
    return answer.headers.get("x-relay-request-id");
  };
  const sent: Promise<string | null>[] = [send()];
  // Only what is connected can be cut.
  await shown.until((lines) => lines.length >= 2);
  const cuts = async () => {
    for (let cut = 1; cut <= 3; cut += 1) {
      // Soon: the last connection carries more than may be under way unacknowledged.
      while (sent.length < cut * 200) await sleep(every);
      way.cut();
      await said.until((lines) => lines.filter((line) => line === AGAIN).length >= cut);
    }
  };
  const cutting = cuts();
  const beganAtMs = Date.now();
  for (let index = 1; index < times; index += 1) {
    const dueAtMs = beganAtMs + index * every;
    if (dueAtMs > Date.now()) await sleep(dueAtMs - Date.now());
    sent.push(send());
  }
  const requestIds = await Promise.all(sent);
  const tookMs = Date.now() - beganAtMs;
  await cutting;
  const last = await relay.eventsUntil((all) => settledIds(all).length >= times);
  await shown.until((lines) => lines.some((line) => line.includes(`"id":${last.at(-1)?.id},`)));
  child.kill("SIGINT");
  await once(child, "close");
  way.close();

  const events = shown.lines.map((line) => JSON.parse(line) as StoredEvent);
  expect(settledIds(events).sort()).toEqual(requestIds.sort());
  const ids = events.map(({ id }) => id);
  expect(ids).toEqual(Array.from(ids, (_, index) => (ids[0] ?? 0) + index));
  expect(said.lines).toEqual([LOST, AGAIN, LOST, AGAIN, LOST, AGAIN]);
  expect(child.exitCode).toBe(0);
  console.log(`${times} events in ${tookMs} ms, each shown once`);
});

test("the live log goes on after the relay was killed and started again", async () => {
  const way = await cuttable();
  const child = start(["--follow", "--json", "--limit", "1", "--url", way.url]);
  const shown = linesOf(child.stdout);
  await shown.until((lines) => lines.length >= 1);
  await relay.restart({ how: "kill" });
  const answer = await relay.message(key);
  await answer.arrayBuffer();
  const requestId = answer.headers.get("x-relay-request-id") ?? "";
  await shown.until((lines) => lines.some((line) => line.includes(requestId)));
  child.kill("SIGTERM");
  await once(child, "close");
  way.close();
  expect(child.exitCode).toBe(0);
});

test("what an operator has to know is in the log, with the ids that lead on", async () => {
  const second = await relay.addApiKeyAccount("second", { priority: 2 });
  relay.fake.script({ account: "first" }, faults.rateLimited({ claim: "five_hour" }));
  const moved = await relay.message(key);
  expect(moved.status).toBe(200);
  await moved.arrayBuffer();
  const stranger = await relay.createKey({ name: "off", enabled: false });
  const refused = await relay.message(stranger);
  const wrong = await fetch(`${relay.url}/v1/messages`, { method: "POST" });
  const idOf = (answer: Response) => answer.headers.get("x-relay-request-id") ?? "";

  const events = await relay.eventsUntil(
    (all) =>
      settledIds(all).includes(idOf(moved)) &&
      all.some(({ event }) => event === "account.cooling_down") &&
      all.some(({ requestId }) => requestId === idOf(wrong)),
  );
  const of = (id: string) => events.filter(({ requestId }) => requestId === id);
  expect(of(idOf(moved))).toMatchObject([
    {
      level: "info",
      event: "request.failover",
      keyId: key.id,
      accountId,
      detail: { reason: "rate_limited", status: 429 },
    },
    { level: "debug", event: "request.settled", keyId: key.id, accountId: second },
  ]);
  expect(of(idOf(refused))).toMatchObject([
    { event: "request.refused", keyId: stranger.id, detail: { reason: "key_disabled" } },
  ]);
  expect(of(idOf(wrong))).toMatchObject([
    { event: "request.refused", keyId: null, detail: { reason: "key_missing" } },
  ]);
  expect(events.filter(({ event }) => event === "account.cooling_down")).toMatchObject([
    { level: "warn", category: "account", accountId, detail: { scope: "*" } },
  ]);
  expect(events.findLast(({ event }) => event === "admin.acted")).toMatchObject({
    category: "admin",
    keyId: stranger.id,
    detail: { actor: "admin", action: "key.create", outcome: "done" },
  });
  for (const { event, requestId } of events) {
    expect(relay.log).toContain(`"event":"${event}"`);
    if (requestId !== null) expect(relay.log).toContain(`"requestId":"${requestId}"`);
  }
});

test("hundreds of wrong keys are few events", async () => {
  const isWrong = ({ event, detail }: StoredEvent) =>
    event === "request.refused" && detail.reason === "key_malformed";
  const before = (await relay.events()).filter(isWrong).length;
  const wrong = () =>
    fetch(`${relay.url}/v1/messages`, { method: "POST", headers: { "x-api-key": "cr_wrong" } });
  for (let round = 0; round < 30; round += 1) {
    await Promise.all(Array.from({ length: 10 }, async () => (await wrong()).arrayBuffer()));
  }
  const own = await relay.message(key);
  await own.arrayBuffer();
  const events = await relay.eventsUntil((all) =>
    settledIds(all).includes(own.headers.get("x-relay-request-id")),
  );
  expect(events.filter(isWrong).length - before).toBeLessThanOrEqual(5);
  // The console has them all, and every line is one.
  const lines = relay.log.split("\n").filter((line) => line.includes('"key_malformed"'));
  expect(lines.length).toBeGreaterThanOrEqual(300);
});

test("logs shows the newest events, the oldest of them first, as lines for people and for scripts", async () => {
  const events = await relay.events();
  const json = await cli(["--json", "--limit", "700"]);
  expect(json).toMatchObject({ exitCode: 0, stderr: "" });
  const printed = json.stdout.trimEnd().split("\n");
  expect(printed.map((line) => JSON.parse(line))).toEqual(events.slice(-700));

  const warnings = await cli(["--level", "warn", "--category", "account"]);
  expect(warnings.exitCode).toBe(0);
  expect(warnings.stdout).toMatch(
    /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} WARN {2}account\.cooling_down scope=\* until=\S+Z reason="rate limited by upstream \(429\)" account=[0-9a-f]{8}\n$/,
  );
  const colours = await cli(["--level", "warn"], { FORCE_COLOR: "1" });
  expect(colours.stdout).toContain("\u001b[33mWARN");
  expect((await cli(["--level", "warn"], { NO_COLOR: "1" })).stdout).not.toContain("\u001b");

  const requestId = settledIds(events).at(-1) ?? "";
  const one = await cli(["--request", requestId, "--json"]);
  expect(JSON.parse(one.stdout)).toMatchObject({ event: "request.settled", requestId });
  const none = await cli(["--request", "rly_none"]);
  expect(none).toMatchObject({ exitCode: 0, stdout: "" });
  expect(none.stderr).toContain("No such event is in the log.");
});

test.each([
  [["--level", "loud"], /Allowed choices are debug, info, warn, error/],
  [["--category", "gossip"], /Allowed choices are request, account, admin, system/],
  [["--limit", "0"], /whole number from 1/],
  [["--folow"], /Did you mean --follow\?/],
])("logs %s says what there is instead", async (args, said) => {
  const { exitCode, stderr } = await cli(args);
  expect(exitCode).toBe(2);
  expect(stderr).toMatch(said);
});

test("a live log is for the signed-in: the answer says so before anything is opened", async () => {
  const handshake = (headers: Record<string, string>, path = "/admin/logs/live") =>
    new Promise<number | undefined>((settle, fail) => {
      const asked = request(relay.url + path, {
        headers: {
          connection: "upgrade",
          upgrade: "websocket",
          "sec-websocket-version": "13",
          "sec-websocket-key": btoa("0123456789abcdef"),
          ...headers,
        },
      });
      asked.on("response", (answer) => {
        answer.resume();
        settle(answer.statusCode);
      });
      asked.on("upgrade", (answer, socket) => {
        socket.destroy();
        settle(answer.statusCode);
      });
      asked.on("error", fail);
      asked.end();
    });
  const { data } = (await (
    await fetch(`${relay.url}/admin/login`, { method: "POST", body: JSON.stringify(ADMIN) })
  ).json()) as { data: { token: string } };
  const cookie = `relay_session=${data.token}`;
  expect(await handshake({})).toBe(401);
  expect(await handshake({ cookie, origin: "https://evil.example" })).toBe(403);
  expect(await handshake({ cookie })).toBe(403);
  expect(await handshake({ cookie, origin: relay.url })).toBe(101);
  expect(await handshake({ authorization: `Bearer ${data.token}` })).toBe(101);
  expect(await handshake({}, `/admin/logs/live?token=${data.token}`)).toBe(401);
});
