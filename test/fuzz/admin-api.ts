import * as fc from "fast-check";
import { adminRoutes } from "./admin-routes.ts";
import { bent, longText, POLLUTION, text, value } from "./hostile.ts";
import { sendRaw } from "./raw-http.ts";
import type { Stage } from "./stage.ts";
import { must, type Target } from "./target.ts";

/** The door for the operator, who is signed in here: what a page or a paste may hold. */

const encoder = new TextEncoder();
const ROUTES = adminRoutes();
/** Statuses of the documented codes that an input may bring about where nothing is broken. */
const ALLOWED = [200, 201, 302, 400, 401, 403, 404, 409, 410, 413, 426, 429, 502];
const CSV_HEAD = "text/csv; charset=utf-8";
const WITHIN_MS = 30_000;

const day = fc.constantFrom("2026-01-01", "2026-12-31", "2027-02-01T00:00:00Z", "2026-11-01");
const queryValue = fc.oneof(
  text,
  day,
  fc.constantFrom(
    "1",
    "0",
    "500",
    "day",
    "hour",
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "{ID}",
  ),
  fc.constantFrom("claude-sonnet-5", "debug", "error", "key", "account", "failed", "true"),
);
/** Which member is changed, by its place, and to what; `null` leaves it out. */
const change = fc.tuple(fc.nat({ max: 30 }), fc.option(value));

interface Asked {
  nth: number;
  id: string;
  query: [number, string][];
  changes: [number, unknown][];
  pollution: string | null;
  raw: Uint8Array | null;
  accept: string;
}

const asked: fc.Arbitrary<Asked> = fc.record({
  nth: fc.nat({ max: ROUTES.length - 1 }),
  id: fc.oneof({ weight: 5, arbitrary: fc.constantFrom("{0}", "{1}", "{2}", "{3}", "{9}") }, text),
  query: fc.array(fc.tuple(fc.nat({ max: 8 }), queryValue), { maxLength: 4 }),
  changes: fc.array(change, { maxLength: 3 }),
  pollution: fc.option(fc.constantFrom(...POLLUTION)),
  raw: fc.option(bent(fc.oneof(text, longText).map((any) => encoder.encode(`{"name":"${any}"}`))), {
    freq: 8,
  }),
  accept: fc.constantFrom("application/json", "text/csv", "*/*"),
});

/** With the members at these places, also those of its own members, taken by others. */
function changed(body: Record<string, unknown>, changes: Asked["changes"]): unknown {
  const copy = structuredClone(body);
  for (const [at, put] of changes) {
    const places = placesOf(copy);
    const place = places[at % Math.max(1, places.length)];
    if (place === undefined) continue;
    if (put === null) delete place.holder[place.name];
    else place.holder[place.name] = put;
  }
  return copy;
}

interface Place {
  holder: Record<string, unknown>;
  name: string;
}

function placesOf(holder: Record<string, unknown>): Place[] {
  return Object.entries(holder).flatMap(([name, held]) => [
    { holder, name },
    ...(typeof held === "object" && held !== null ? placesOf(held as typeof holder) : []),
  ]);
}

function bodyOf(stage: Stage, { nth, changes, pollution, raw }: Asked): Uint8Array {
  if (raw !== null) return raw;
  const written = JSON.stringify(changed(ROUTES[nth]?.body ?? {}, changes));
  const whole = written.replaceAll("{ID}", stage.ids[0] ?? "");
  return encoder.encode(pollution === null ? whole : `{${pollution},${whole.slice(1)}`);
}

function addressOf(stage: Stage, { nth, id, query }: Asked): string {
  const { path = "", query: names = [] } = ROUTES[nth] ?? {};
  const place = /^\{(\d)\}$/.exec(id)?.[1];
  const shown = place === undefined ? id : stage.ids[Number(place) % stage.ids.length];
  const params = query.map(([at, given]) => {
    const name = names[at] ?? "unknown";
    return `${name}=${encodeURIComponent(asUnicode(given.replace("{ID}", stage.ids[0] ?? "")))}`;
  });
  const filled = path.replace(":id", encodeURIComponent(asUnicode(shown ?? "")));
  return `${stage.relay.url}${filled}?${params.join("&")}`;
}

/** Addresses cannot hold half of a pair. */
function asUnicode(any: string): string {
  return any.toWellFormed();
}

const routes: Target<Stage> = {
  name: "admin API, every route",
  runs: 500,
  property: (stage) =>
    fc.asyncProperty(asked, async (input) => {
      const method = ROUTES[input.nth]?.method ?? "GET";
      const answer = await fetch(addressOf(stage, input), {
        method,
        headers: {
          authorization: `Bearer ${stage.token}`,
          "content-type": "application/json",
          accept: input.accept,
        },
        redirect: "manual",
        signal: AbortSignal.timeout(WITHIN_MS),
        ...(method === "GET" ? {} : { body: Buffer.from(bodyOf(stage, input)) }),
      });
      const read = await answer.text();
      const told = `${method} ${ROUTES[input.nth]?.path} ${answer.status} ${read.slice(0, 400)}`;
      stage.mustHoldNoSecret(JSON.stringify([...answer.headers]) + read);
      must(ALLOWED.includes(answer.status), told);
      if (answer.headers.get("content-type") === CSV_HEAD) mustBeACsv(read);
      else noteWhatWasMade(stage, mustBeAnEnvelope(read, answer.status, told));
    }),
};

function mustBeAnEnvelope(read: string, status: number, told: string): Record<string, unknown> {
  const { success, data, error, message, requestId } = JSON.parse(read) as Record<string, unknown>;
  must(success === status < 400, told);
  const isTold = [error, message, requestId].every((part) => typeof part === "string");
  must(status < 400 || isTold, `no error of the documented shape: ${told}`);
  return typeof data === "object" && data !== null ? (data as Record<string, unknown>) : {};
}

function noteWhatWasMade(stage: Stage, { id }: Record<string, unknown>): void {
  stage.note(id);
}

/** Lines of as many cells as the head has, none of which a spreadsheet would run. */
function mustBeACsv(read: string): void {
  const lines: string[][] = [[]];
  for (const [, quoted, plain = "", end] of read.matchAll(
    /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g,
  )) {
    lines.at(-1)?.push(quoted?.replaceAll('""', '"') ?? plain);
    if (end !== ",") lines.push([]);
  }
  must(lines.pop()?.length === 0, "the CSV does not end with a line");
  for (const cells of lines) {
    must(cells.length === lines[0]?.length, `a line of another length: ${cells.join("|")}`);
    const runs = cells.filter((cell) => /^[=+@\t\r-]/.test(cell) && Number.isNaN(Number(cell)));
    must(runs.length === 0, `a cell that a spreadsheet runs: ${runs.join("|")}`);
  }
}

const paste = fc.oneof(
  text,
  longText,
  fc.tuple(text, text).map(([code, state]) => `${code}#${state}`),
  text.map((any) => `https://platform.claude.com/oauth/code/callback?code=${any}&state=${any}`),
  text.map((any) => `https://platform.claude.com/oauth/code/callback#code=a&state=${any}&code=b`),
  text.map((any) => `http://127.0.0.1:9/?code[]=${any}`),
);

const pastes: Target<Stage> = {
  name: "OAuth pastes",
  runs: 80,
  property: (stage) =>
    fc.asyncProperty(
      paste,
      fc.constantFrom("authorizationCode", "callbackUrl"),
      async (pasted, name) => {
        const begun = await stage.relay.admin("POST", "/claude-accounts/generate-auth-url", {});
        const { sessionId } = begun.data;
        const path = "/claude-accounts/exchange-code";
        const done = await stage.relay.admin("POST", path, { sessionId, [name]: pasted });
        must([400, 409, 410, 413, 502].includes(done.status), `${done.status} ${done.message}`);
        must(typeof done.message === "string" && done.message !== "", "it says nothing");
      },
    ),
};

/** A frame of WebSocket, as the bits in its head have it: good ones and others. */
const frame = fc
  .record({
    head: fc.oneof(fc.constantFrom(0x81, 0x82, 0x88, 0x89, 0x01, 0x80), fc.nat({ max: 255 })),
    length: fc.option(fc.nat({ max: 255 }), { freq: 3 }),
    isMasked: fc.boolean(),
    payload: fc.oneof(
      fc.constantFrom(
        "ping",
        '{"upTo":0}',
        '{"upTo":1e999}',
        '{"upTo":-1}',
        "{}",
        "null",
        "[",
        '{"upTo":null}',
      ),
      fc.constant('{"__proto__":{"upTo":1}}'),
      text,
    ),
  })
  .map(({ head, length, isMasked, payload }) => {
    const bytes = encoder.encode(payload);
    const size = (length ?? Math.min(125, bytes.length)) & 0x7f;
    return Buffer.from([
      head,
      (isMasked ? 0x80 : 0) | size,
      ...(isMasked ? [0, 0, 0, 0] : []),
      ...bytes,
    ]);
  });

const frames: Target<Stage> = {
  name: "frames to the live log",
  runs: 80,
  property: (stage) =>
    fc.asyncProperty(fc.array(frame, { maxLength: 6 }), async (all) => {
      const head = [
        "GET /admin/logs/live?after=0 HTTP/1.1",
        `host: ${new URL(stage.relay.url).host}`,
        `authorization: Bearer ${stage.token}`,
        ...["connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13"],
        "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
      ];
      const bytes = Buffer.concat([encoder.encode(`${head.join("\r\n")}\r\n\r\n`), ...all]);
      const outcome = await sendRaw(stage.relay.url, bytes, { end: true });
      must(outcome.kind === "answer", `the upgrade was ${outcome.kind}`);
      const { status, body } = outcome.answer;
      must(status === 101, `${status} ${body}`);
      stage.mustHoldNoSecret(body);
    }),
};

const wellAfterwards = (target: Target<Stage>): Target<Stage> => ({
  ...target,
  afterwards: (stage) => stage.mustBeWell(),
});

export const ADMIN_TARGETS = [routes, pastes, frames].map(wellAfterwards);
