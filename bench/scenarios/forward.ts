import { startForwardWay } from "../host/forward-proxy.ts";
import { TEAM } from "../host/population.ts";
import type { Ask, Job } from "../load/job.ts";
import { alternate } from "../measure/rounds.ts";
import { addedRatio, ratio } from "../measure/statistics.ts";
import { JSON_ANSWER_BYTES } from "../upstream/answers.ts";
import { smallRequest } from "./requests.ts";
import { type Budget, RELAY, type Scenario, type Subject } from "./scenario.ts";

const FORWARD = "forward";
const CONNECTIONS = 32;
const PER_SECOND = 50;
const STREAMS = 100;
const EVERY_MS = 100;
const STREAMS_FOR_MS = 8_000;
const BEGIN_OVER_MS = 3_000;

/**
 * What accounts with a proxy of their own pay for it: the same relay through the forward proxy and an
 * HTTP proxy, against the relay that goes direct. All run on the same processors.
 */
export default {
  name: FORWARD,
  title: "as json, and paced streams, of accounts behind a proxy of their own",
  order: 6,
  async run({ load, effort, direct, relays, startRelay }) {
    const upstreamUrl = `http://127.0.0.1:${direct.port}`;
    const way = await startForwardWay(upstreamUrl);
    try {
      const relay = await startRelay({ ...TEAM, proxy: way.proxy }, { vars: way.vars });
      try {
        const { workerd, port, callers } = relay;
        const subjects: Subject[] = [
          direct,
          ...relays.filter(({ name }) => name === RELAY),
          { name: FORWARD, pid: workerd.pid, port, callers },
        ];
        const ask = (subject: Subject): Ask => ({
          port: subject.port,
          path: "/v1/messages?answer=json",
          body: smallRequest(false),
          callers: subject.callers,
          answerBytes: JSON_ANSWER_BYTES,
        });
        const closed = await alternate(
          load,
          `closed, ${CONNECTIONS} connections`,
          subjects,
          effort.rounds,
          (subject): Job => ({
            kind: "closed",
            ...ask(subject),
            connections: CONNECTIONS,
            warmMs: effort.warmMs,
            forMs: effort.closedMs,
            callersBy: "connection",
          }),
        );
        const open = await alternate(
          load,
          `open, ${PER_SECOND}/s`,
          subjects,
          effort.rounds,
          (subject): Job => ({
            kind: "open",
            ...ask(subject),
            perSecond: PER_SECOND,
            warmMs: effort.warmMs,
            forMs: effort.openMs,
          }),
        );
        const scaled = (value: number) => Math.ceil(value * effort.streamScale);
        const eventsEach = Math.floor(scaled(STREAMS_FOR_MS) / EVERY_MS);
        const streams = await alternate(
          load,
          `${scaled(STREAMS)} streams, an event each ${EVERY_MS} ms`,
          subjects,
          effort.streamRounds,
          (subject): Job => ({
            kind: "streams",
            ...ask(subject),
            path: `/v1/messages?answer=paced&every=${EVERY_MS}&events=${eventsEach}`,
            body: smallRequest(true),
            answerBytes: null,
            streams: scaled(STREAMS),
            beginOverMs: scaled(BEGIN_OVER_MS),
            eventsEach,
          }),
        );
        const budgets: Budget[] = [
          {
            what: "requests/s to the relay's that goes direct",
            is: "at least",
            limit: 0.15,
            unit: "",
            ...ratio(closed, FORWARD, RELAY, "requestsPerS"),
          },
          {
            what: `added latency p50 at ${PER_SECOND}/s to the relay's that goes direct`,
            is: "at most",
            limit: 4,
            unit: "",
            ...addedRatio(open, FORWARD, RELAY),
          },
          {
            what: "delay per event p50 to the relay's that goes direct",
            is: "at most",
            limit: 4,
            unit: "",
            ...ratio(streams, FORWARD, RELAY, "eventDelayP50Ms"),
          },
        ];
        return { loads: [closed, open, streams], budgets };
      } finally {
        await relay.stop();
      }
    } finally {
      await way.stop();
    }
  },
} satisfies Scenario;
