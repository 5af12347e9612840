import { costOf } from "../upstream/cost.ts";
import type { Ending } from "./deliver.ts";
import type { RelayCall } from "./relay-call.ts";
import type { SendResult } from "./send.ts";
import { type Bill, NOTHING_BILLED, type Settlement } from "./settlement.ts";

/**
 * Step 7: completes the request's row at the key's meter, after the answer and off its path.
 */
export async function settle(
  call: RelayCall,
  sent: SendResult,
  ending: Ending,
  status: number,
  firstByteAtMs: number | null,
): Promise<void> {
  const { services } = call;
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
    bill: billOf(call, ending, sent),
    isWatched: services.roster.isLedgerWatched,
  };
  await services.meterLink.settle(call.key.id, settlement, call.isTight);
  services.log("debug", "request.settled", {
    requestId: call.requestId,
    keyId: call.key.id,
    accountId: settlement.accountId,
    outcome: settlement.outcome,
    status,
    durationMs: settlement.durationMs,
  });
}

function billOf(
  call: RelayCall,
  { outcome, reading }: Ending,
  { attempts, mayBeBilled }: SendResult,
): Bill {
  // Upstream may have begun, and bills it; the client left before anything of it was read.
  const isUnread = attempts.length > 0 && !reading.hasUsage && outcome === "client_closed";
  const estimated = reading.estimated || isUnread || mayBeBilled;
  if (!reading.hasUsage && !estimated) return NOTHING_BILLED;
  const { prices } = call.services.roster;
  const cost = costOf(reading, call.fields.model, call.startedAtMs, prices);
  return {
    tokens: cost.tokens,
    webSearchRequests: reading.webSearchRequests,
    model: reading.model,
    serviceTier: reading.serviceTier,
    speed: reading.speed,
    inferenceGeo: reading.inferenceGeo,
    estimated,
    costNanoDollars: cost.nanoDollars,
    priceId: cost.priceId,
    priceKnown: cost.priceKnown,
  };
}
