import { createHash, timingSafeEqual } from "node:crypto";
import { EVENT_LOG_NAME } from "../../durable-objects/event-log/contract.ts";
import { allAccounts } from "../accounts/roster.ts";
import { describeError } from "../background.ts";
import { callObject, remote } from "../durable-call.ts";
import type { Services } from "../relay/services.ts";
import type { Result } from "../result.ts";
import { relayVersion } from "../version.ts";
import { accountFamilies } from "./account-families.ts";
import { eventFamilies } from "./event-families.ts";
import { CONTENT_TYPE, exposition, type Family } from "./exposition.ts";
import { ledgerFamilies } from "./ledger-families.ts";

/**
 * Several may ask, and each time costs a call to every object: an answer is kept so long. It is less
 * than anyone's interval, so that no one's counters ever step back.
 */
const KEEP_MS = 5_000;
const BEARER = /^Bearer +(\S+) *$/i;

const kept = new WeakMap<Services, { text: string; untilMs: number }>();

/** `GET /metrics`: for Prometheus, with a token that opens nothing else. */
export async function metricsAnswer(
  request: Request,
  services: Result<Services, string[]>,
  env: Env,
): Promise<Response> {
  if (!services.ok) return inWords(503, services.error.join(" "));
  const { metricsToken } = services.value.config;
  if (metricsToken === null) {
    return inWords(
      404,
      "There are no metrics here: METRICS_TOKEN is not set. Whoever runs this relay can set it.",
    );
  }
  const shown = BEARER.exec(request.headers.get("authorization") ?? "")?.[1];
  if (shown === undefined || !isSame(shown, metricsToken)) {
    return inWords(
      401,
      "Metrics need METRICS_TOKEN, as Authorization: Bearer. Relay keys and admin sessions do not open them.",
      { "www-authenticate": 'Bearer realm="metrics"' },
    );
  }
  const known = kept.get(services.value);
  const fresh = known !== undefined && known.untilMs > Date.now();
  const text = fresh ? known.text : exposition(await gather(services.value, env));
  if (!fresh) kept.set(services.value, { text, untilMs: Date.now() + KEEP_MS });
  return new Response(text, { headers: { ...NO_STORE, "content-type": CONTENT_TYPE } });
}

const NO_STORE = { "cache-control": "no-store" };

/** Everything there is to tell now: a call to each shard of the ledger, the Fleet and the event log. */
export async function gather(services: Services, env: Env): Promise<Family[]> {
  const vault = await services.vault();
  const sources = await Promise.all([
    source(services, "usage_ledger", async () => ledgerFamilies(await services.usage.lifetime())),
    source(services, "fleet", async () =>
      accountFamilies({
        rows: await allAccounts(services.fleet),
        knowsKey: (name) => vault.knows(name),
        canReachProxies: services.egress.canReachProxies,
        nowMs: Date.now(),
      }),
    ),
    source(services, "event_log", async () =>
      eventFamilies(
        await callObject(
          () => remote(env.EVENT_LOG, EVENT_LOG_NAME),
          (log) => log.counts(),
        ),
      ),
    ),
  ]);
  return [
    {
      name: "relay_build_info",
      type: "gauge",
      help: "Always 1: the relay's version.",
      samples: [{ labels: { version: relayVersion }, value: 1 }],
    },
    {
      name: "relay_source_up",
      type: "gauge",
      help: "Whether a source of these metrics answered: 1, or 0, and then what it tells is missing.",
      samples: sources.map(({ name, families }) => ({
        labels: { source: name },
        value: families === null ? 0 : 1,
      })),
    },
    ...sources.flatMap(({ families }) => families ?? []),
  ];
}

/** One source's silence costs what it tells, and not the rest. A part of it is never taken for all. */
async function source(
  { log }: Services,
  name: string,
  read: () => Promise<Family[]>,
): Promise<{ name: string; families: Family[] | null }> {
  try {
    return { name, families: await read() };
  } catch (error) {
    log("warn", "metrics.incomplete", { source: name, error: describeError(error) });
    return { name, families: null };
  }
}

/** In constant time, whatever the lengths. */
function isSame(shown: string, expected: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(shown), digest(expected));
}

function inWords(status: number, message: string, headers: Record<string, string> = {}): Response {
  return new Response(`${message}\n`, {
    status,
    headers: { ...NO_STORE, "content-type": "text/plain; charset=utf-8", ...headers },
  });
}
