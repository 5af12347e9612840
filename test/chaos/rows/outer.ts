import { setTimeout as sleep } from "node:timers/promises";
import { faults } from "../../fixtures/fake-upstream/index.ts";
import type { Leaving, Sight } from "../load.ts";
import { Stage } from "../stage.ts";
import { type FaultRow, faultGroup } from "./row.ts";

/** An answer that takes a while, so that it can be left or cut in its middle. */
const SLOW = faults.paced(20, 20);
const BIG_ANSWER_BYTES = 100_000_000;
const KILLS = 10;
const BETWEEN_KILLS_MS = 400;
const TOKEN_PATH = "/v1/oauth/token";
/** Tokens so short-lived that they are refreshed under the load. */
const SHORT_TOKEN_SECONDS = 2;
const STRIKE_TRIES = 200;
const POLL_MS = 50;

const upstream = (
  name: string,
  fault: object,
  allowed: readonly Sight[],
  load: FaultRow["load"] = {},
): FaultRow => ({
  name: `upstream: ${name}`,
  allowed,
  load,
  strike: async (stage, forMs) => {
    stage.everyMessage(fault, forMs);
    await sleep(forMs);
  },
});

const leaving = (moment: Leaving): FaultRow => ({
  name: `client gone ${moment}`,
  allowed: ["left"],
  load: {
    leaving: moment,
    fault: moment === "before the head" ? faults.delay(400) : SLOW,
  },
  strike: (_stage, forMs) => sleep(forMs),
});

/** An account by OAuth alone, whose token has to be refreshed while its endpoint misbehaves. */
const tokens = (name: string, fault: object): FaultRow => ({
  name: `token endpoint: ${name}`,
  allowed: ["refused"],
  strike: async ({ relay }, forMs) => {
    relay.fake.configure({ accessTokenSeconds: SHORT_TOKEN_SECONDS });
    const calls = () => relay.fake.ledger.tokenCalls().length;
    const before = calls();
    const script = relay.fake.script({ path: TOKEN_PATH, times: "always" }, fault);
    const id = await relay.addOAuthAccount(`login-${crypto.randomUUID().slice(0, 8)}`, {
      expiresInSeconds: 1,
    });
    for (let tries = 0; calls() === before && tries < STRIKE_TRIES; tries += 1)
      await sleep(POLL_MS);
    await sleep(forMs / 2);
    script.cancel();
    await sleep(forMs / 2);
    await relay.admin("DELETE", `/claude-accounts/${id}`);
  },
});

/** What upstream, its token endpoint, clients and a power cut do. */
export const OUTER_ROWS: readonly FaultRow[] = [
  upstream("reset before the head", faults.resetBeforeHead(), ["refused"]),
  upstream("reset in mid-stream", { ...SLOW, ...faults.resetAfterEvents(6) }, ["told", "broken"]),
  upstream("closed in mid-stream without an end", faults.endAfterEvents(5), ["told", "broken"]),
  upstream("stalls for two seconds", faults.stallAfterEvents(4, 2_000), ["told", "broken"]),
  upstream("drips", faults.paced(8, 120), []),
  upstream("one byte a write", faults.oneByteWrites(), []),
  upstream("malformed SSE", faults.malformedSse(), ["told", "broken"]),
  upstream("declares more bytes than it sends", faults.tooLongLength(), [
    "told",
    "broken",
    "refused",
  ]),
  upstream("gzip that nobody asked for", faults.gzip(), []),
  upstream("an answer of 100 MB", faults.bigAnswer(BIG_ANSWER_BYTES), [], { clients: 2 }),
  upstream("500", faults.internalError(), ["refused"]),
  upstream("529", faults.overloaded(), ["refused"]),
  upstream("429 without a time", faults.bareRateLimit(), ["refused"]),
  tokens("down", faults.resetBeforeHead()),
  tokens("slow", faults.delay(1_000)),
  tokens("400", faults.invalidGrant()),
  tokens("429", faults.status(429)),
  tokens("answer lost after the rotation", faults.loseResponse()),
  leaving("before the head"),
  leaving("in the middle"),
  leaving("at the end"),
  {
    name: `runtime killed ${KILLS} times with kill -9`,
    allowed: ["broken", "refused"],
    load: { fault: SLOW },
    strike: async (stage) => {
      for (let kill = 0; kill < KILLS; kill += 1) {
        await sleep(BETWEEN_KILLS_MS);
        await stage.kill();
      }
    },
  },
];

export const outerFaults = faultGroup(Stage.open, OUTER_ROWS);
