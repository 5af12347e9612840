import type { ChosenBy } from "../../src/accounts/choose.ts";
import type { Attempt, Outcome } from "../../src/relay/settlement.ts";

/** One request as the meter holds it: who served it and why, how it went, what it used. */
export interface RequestRecord {
  id: string;
  startedAtMs: number;
  /** `open` while it runs; `unsettled` where its end was never heard of. */
  state: "open" | "settled" | "unsettled";
  /** As it was asked for, and as upstream named it. */
  model: string;
  answeredModel: string | null;
  outcome: Outcome | null;
  status: number | null;
  accountId: string | null;
  chosenBy: ChosenBy | null;
  attempts: Attempt[];
  firstByteMs: number | null;
  durationMs: number | null;
  tokens: {
    input: number;
    output: number;
    cacheWrite5m: number;
    cacheWrite1h: number;
    cacheRead: number;
  };
  webSearches: number;
  /** What else the price depends on, as upstream told it. */
  serviceTier: string | null;
  speed: string | null;
  inferenceGeo: string | null;
  estimated: boolean;
  costNanoDollars: number;
  /** The price row that was used, and whether the model was listed. */
  priceId: string | null;
  priceKnown: boolean;
}

export type RequestRow = {
  id: string;
  started_at_ms: number;
  state: RequestRecord["state"];
  model: string;
  answered_model: string | null;
  outcome: Outcome | null;
  status: number | null;
  account_id: string | null;
  chosen_by: ChosenBy | null;
  attempts: string | null;
  first_byte_ms: number | null;
  duration_ms: number | null;
  input_tokens: number;
  output_tokens: number;
  write_5m_tokens: number;
  write_1h_tokens: number;
  read_tokens: number;
  web_searches: number;
  service_tier: string | null;
  speed: string | null;
  inference_geo: string | null;
  estimated: number;
  cost_nano: number;
  price_id: string | null;
  price_known: number;
};

export function recordOf(row: RequestRow): RequestRecord {
  return {
    id: row.id,
    startedAtMs: row.started_at_ms,
    state: row.state,
    model: row.model,
    answeredModel: row.answered_model,
    outcome: row.outcome,
    status: row.status,
    accountId: row.account_id,
    chosenBy: row.chosen_by,
    attempts: row.attempts === null ? [] : (JSON.parse(row.attempts) as Attempt[]),
    firstByteMs: row.first_byte_ms,
    durationMs: row.duration_ms,
    tokens: {
      input: row.input_tokens,
      output: row.output_tokens,
      cacheWrite5m: row.write_5m_tokens,
      cacheWrite1h: row.write_1h_tokens,
      cacheRead: row.read_tokens,
    },
    webSearches: row.web_searches,
    serviceTier: row.service_tier,
    speed: row.speed,
    inferenceGeo: row.inference_geo,
    estimated: row.estimated === 1,
    costNanoDollars: row.cost_nano,
    priceId: row.price_id,
    priceKnown: row.price_known === 1,
  };
}
