import { setTimeout as sleep } from "node:timers/promises";
import type { Fault } from "../fixtures/fake-upstream/index.ts";
import type { RelayKey, TestRelay } from "../fixtures/relay.ts";
import { SECRET } from "./worker/trouble.js";

/** What a client saw of one request. Whatever is not honest is a failure of the relay. */
export type Sight =
  /** A whole answer. */
  | "whole"
  /** An error in the API's form, with a status that says so. */
  | "refused"
  /** A stream that began well and ended in an error event: no one can take it for whole. */
  | "told"
  /** The connection broke, so that no one can take the answer for whole. */
  | "broken"
  /** The client went away by itself. */
  | "left"
  /** Nothing came for longer than any fault lasts. */
  | "hung"
  /** It ended as a whole answer does, and was none; or an error in no form that clients know. */
  | "dishonest";

export interface Seen {
  number: number;
  row: string;
  keyId: string;
  sight: Sight;
  status: number | null;
  /** The relay's id; null where no headers came. */
  relayId: string | null;
  beganAtMs: number;
  endedAtMs: number;
  /** Of what came instead of an answer: why it was refused or broke, or how it ended. */
  excerpt: string;
}

/** When a client goes away by itself. */
export type Leaving = "before its body ends" | "before the head" | "in the middle" | "at the end";

export interface LoadOptions {
  relay: TestRelay;
  keys: readonly RelayKey[];
  clients: number;
  /** Asked before each request: the runtime may be down. */
  isUp: () => Promise<void>;
  /** What every request of this load is answered like. */
  fault?: Fault;
  leaving?: Leaving;
}

export const NUMBER_HEADER = "x-test-number";
/** Longer than anything that a row does to an answer. */
const HUNG_AFTER_MS = 30_000;
/** As a client would, which is told to try again later. */
const PAUSE_AFTER_REFUSAL_MS = 100;
const EXCERPT_CHARS = 300;

let numbers = 0;

/** Clients that ask one thing after the other, streamed and whole in turns, until they are stopped. */
export class Load {
  readonly seen: Seen[] = [];
  readonly #row: string;
  readonly #options: LoadOptions;
  readonly #clients: Promise<void>[];
  #isStopped = false;

  constructor(row: string, options: LoadOptions) {
    this.#row = row;
    this.#options = options;
    this.#clients = Array.from({ length: options.clients }, (_, index) => this.#client(index));
  }

  /** Lets what runs come to its end. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#clients);
  }

  async #client(index: number): Promise<void> {
    for (let nth = index; !this.#isStopped; nth += 1) {
      await this.#options.isUp();
      const seen = await this.#ask(nth);
      this.seen.push(seen);
      if (seen.sight === "refused" || seen.sight === "broken") await sleep(PAUSE_AFTER_REFUSAL_MS);
    }
  }

  async #ask(nth: number): Promise<Seen> {
    const { relay, keys, fault, leaving } = this.#options;
    const key = keys[nth % keys.length];
    if (key === undefined) throw new Error("a load needs a key");
    numbers += 1;
    const seen: Seen = {
      number: numbers,
      row: this.#row,
      keyId: key.id,
      sight: "broken",
      status: null,
      relayId: null,
      beganAtMs: Date.now(),
      endedAtMs: 0,
      excerpt: "",
    };
    const isStreamed = nth % 3 !== 0 || leaving === "in the middle";
    const going = new AbortController();
    const timer = setTimeout(() => going.abort("hung"), HUNG_AFTER_MS);
    const leaveAt = (moment: Leaving) => leaving === moment && going.abort("left");
    try {
      if (leaving === "before the head") setTimeout(() => going.abort("left"), 60);
      const answer = await relay.message(
        key,
        { stream: isStreamed, max_tokens: 60 },
        {
          headers: { [NUMBER_HEADER]: String(seen.number) },
          signal: going.signal,
          ...(fault === undefined ? {} : { fault }),
        },
      );
      seen.status = answer.status;
      seen.relayId = relayIdOf(answer);
      if (leaving === "in the middle") {
        await answer.body?.getReader().read();
        leaveAt("in the middle");
      }
      const text = await answer.text();
      leaveAt("at the end");
      seen.sight = sightOf(answer, text);
      if (seen.sight === "dishonest") seen.excerpt = text.slice(-EXCERPT_CHARS);
      if (seen.sight === "refused") seen.excerpt = text.slice(0, EXCERPT_CHARS);
    } catch (error) {
      if (going.signal.aborted) seen.sight = going.signal.reason === "hung" ? "hung" : "left";
      else seen.excerpt = String(error).slice(0, EXCERPT_CHARS);
    } finally {
      clearTimeout(timer);
    }
    seen.endedAtMs = Date.now();
    return seen;
  }
}

function sightOf(answer: Response, text: string): Sight {
  if (text.includes(SECRET)) return "dishonest";
  const isStream = answer.headers.get("content-type")?.startsWith("text/event-stream") === true;
  if (answer.status === 200 && isStream) {
    if (/\nevent: error\r?\n/.test(`\n${text}`)) return "told";
    return text.includes("event: message_stop") ? "whole" : "dishonest";
  }
  const body = parsed(text);
  if (answer.status === 200) return body?.type === "message" ? "whole" : "dishonest";
  const { type } = (body?.error ?? {}) as { type?: string };
  return body?.type === "error" && typeof type === "string" ? "refused" : "dishonest";
}

function parsed(text: string): { type?: string; error?: unknown } | null {
  try {
    return JSON.parse(text) as { type?: string };
  } catch {
    return null;
  }
}

export function relayIdOf({ headers }: Response): string | null {
  const own = headers.get("request-id");
  return headers.get("x-relay-request-id") ?? (own?.startsWith("rly_") ? own : null);
}
