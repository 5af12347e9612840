import { setTimeout as sleep } from "node:timers/promises";
import type { Subject } from "../scenarios/scenario.ts";
import { ANSWER_OUTPUT_TOKENS } from "../upstream/answers.ts";
import { WrongAnswer } from "./rounds.ts";

const TRIES = 50;
const TRY_EVERY_MS = 200;

interface Metered {
  requests: number;
  outputTokens: number;
  /** Failed, estimated or never settled. */
  notWhole: number;
  inFlight: number;
}

/**
 * Refuses the whole run where a relay has not metered each request once, with the tokens that
 * upstream billed: whatever is fast because something was left out is no measurement.
 */
export async function checkMetered(relay: Subject, answered: number): Promise<void> {
  let sum = await meteredBy(relay);
  for (let attempt = 1; attempt < TRIES && sum.inFlight > 0; attempt += 1) {
    await sleep(TRY_EVERY_MS);
    sum = await meteredBy(relay);
  }
  const { requests, outputTokens, notWhole, inFlight } = sum;
  const isRight =
    requests === answered &&
    outputTokens === answered * ANSWER_OUTPUT_TOKENS &&
    notWhole === 0 &&
    inFlight === 0;
  if (!isRight) {
    throw new WrongAnswer(
      `${relay.name} metered ${requests} requests with ${outputTokens} output tokens, ${notWhole} of them not whole and ${inFlight} not settled; ${answered} were answered with ${ANSWER_OUTPUT_TOKENS} each`,
    );
  }
}

async function meteredBy({ port, callers }: Subject): Promise<Metered> {
  const sum: Metered = { requests: 0, outputTokens: 0, notWhole: 0, inFlight: 0 };
  for (const key of new Set(callers.map(({ key }) => key))) {
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/usage`, {
      headers: { authorization: `Bearer ${key}` },
    });
    const { usage } = (await answer.json()) as {
      usage: { total: Record<string, number>; inFlight: number };
    };
    const count = (name: string) => usage.total[name] ?? 0;
    sum.requests += count("requests");
    sum.outputTokens += count("outputTokens");
    sum.notWhole +=
      count("failedRequests") + count("estimatedRequests") + count("unsettledRequests");
    sum.inFlight += usage.inFlight;
  }
  return sum;
}
