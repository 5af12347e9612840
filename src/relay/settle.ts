import { describeError } from "../background.ts";
import { costOf } from "../upstream/cost.ts";
import type { Ending } from "./deliver.ts";
import type { RelayCall } from "./relay-call.ts";
import type { SendResult } from "./send.ts";
import { type Bill, NOTHING_BILLED, type Settlement } from "./settlement.ts";

/** Tries at settling; after them the lease runs out and the row is swept as unsettled. */
const SETTLE_TRIES = 4;
const SETTLE_RETRY_FIRST_MS = 250;

/**
 * Step 7: completes the request's row at the key's meter, after the answer and off its path.
 * Idempotent, so it is repeated until the meter has it.
 */
export async function settle(
  call: RelayCall,
  sent: SendResult,
  ending: Ending,
  status: number,
  firstByteAtMs: number | null,
): Promise<void> {
  const endedAtMs = Date.now();
  const served = sent.outcome.ok ? sent.outcome.value : null;
  const settlement: Settlement = {
    requestId: call.requestId,
    outcome: ending.outcome,
    status,
    accountId: served?.row.id ?? null,
    chosenBy: served?.chosenBy ?? null,
    attempts: sent.attempts,
    session: call.session,
    pinnedTo: call.pinnedTo,
    firstByteMs: firstByteAtMs === null ? null : firstByteAtMs - call.startedAtMs,
    durationMs: endedAtMs - call.startedAtMs,
    bill: billOf(call, ending),
  };
  const { services } = call;
  for (let attempt = 1; ; attempt += 1) {
    try {
      await services.meterLink.settle(call.key.id, settlement);
      break;
    } catch (error) {
      if (attempt === SETTLE_TRIES) {
        services.log("error", "settle.failed", {
          requestId: call.requestId,
          keyId: call.key.id,
          error: describeError(error),
        });
        return;
      }
      await scheduler.wait(SETTLE_RETRY_FIRST_MS * 2 ** (attempt - 1));
    }
  }
  services.log("debug", "request.settled", {
    requestId: call.requestId,
    keyId: call.key.id,
    accountId: settlement.accountId,
    outcome: settlement.outcome,
    status,
    durationMs: settlement.durationMs,
  });
}

function billOf(call: RelayCall, { reading }: Ending): Bill {
  if (!reading.hasUsage && !reading.estimated) return NOTHING_BILLED;
  const cost = costOf(reading, call.fields.model, call.startedAtMs);
  return {
    tokens: cost.tokens,
    webSearchRequests: reading.webSearchRequests,
    model: reading.model,
    serviceTier: reading.serviceTier,
    speed: reading.speed,
    inferenceGeo: reading.inferenceGeo,
    estimated: reading.estimated,
    costNanoDollars: cost.nanoDollars,
    priceId: cost.priceId,
    priceKnown: cost.priceKnown,
  };
}
