import type { LifetimeSums, Sums } from "../../durable-objects/usage-ledger/contract.ts";
import {
  FIRST_BYTE_BUCKETS_MS,
  FIRST_BYTE_COLUMNS,
  type SumColumn,
} from "../../durable-objects/usage-ledger/schema.ts";
import { addSums } from "../../durable-objects/usage-ledger/sums.ts";
import { type Family, histogramSamples, type Labels, type Sample } from "./exposition.ts";

/** The account of requests that none served. */
const NO_ACCOUNT = "none";

/** How a request can have ended for good; one that is called unsettled may still be put right. */
const ENDED = [
  "completed",
  "upstream_error",
  "client_closed",
  "truncated",
  "refused",
] as const satisfies readonly SumColumn[];

const TOKEN_KINDS = {
  input: "input_tokens",
  output: "output_tokens",
  cache_write_5m: "write_5m_tokens",
  cache_write_1h: "write_1h_tokens",
  cache_read: "read_tokens",
} as const satisfies Record<string, SumColumn>;

const NANO_DOLLARS = 1_000_000_000;
const MS_A_SECOND = 1_000;
const BOUNDS_SECONDS = FIRST_BYTE_BUCKETS_MS.map((ms) => ms / MS_A_SECOND);

/** What the usage ledger counted since its beginning: sums that outlast every restart. */
export function ledgerFamilies(parts: readonly LifetimeSums[]): Family[] {
  const groups = gathered(parts, ({ accountId, model }) => ({
    account: accountId === "" ? NO_ACCOUNT : accountId,
    model,
  }));
  const models = gathered(parts, ({ model }) => ({ model }));
  const each = (samples: (sums: Sums, labels: Labels) => Sample[]) =>
    groups.flatMap(({ labels, sums }) => samples(sums, labels));
  const counted = (column: SumColumn) => each((sums, labels) => [{ labels, value: sums[column] }]);
  return [
    {
      name: "relay_requests_total",
      type: "counter",
      help: "Requests that a key's meter let in, by how they ended.",
      samples: each((sums, labels) =>
        ENDED.map((outcome) => ({ labels: { ...labels, outcome }, value: sums[outcome] })),
      ),
    },
    {
      name: "relay_requests_unsettled",
      type: "gauge",
      help: "Requests whose end was never heard of. One may still be settled, so this may fall.",
      samples: [{ labels: {}, value: parts.reduce((sum, { sums }) => sum + sums.unsettled, 0) }],
    },
    {
      name: "relay_requests_estimated_total",
      type: "counter",
      help: "Requests whose output is an estimate, as the end of their answer was not seen.",
      samples: counted("estimated"),
    },
    {
      name: "relay_requests_unlisted_price_total",
      type: "counter",
      help: "Requests that were priced by a stand-in, as their model has no price of its own.",
      samples: counted("unlisted"),
    },
    {
      name: "relay_tokens_total",
      type: "counter",
      help: "Tokens that were billed, by kind.",
      samples: each((sums, labels) =>
        Object.entries(TOKEN_KINDS).map(([kind, column]) => ({
          labels: { ...labels, kind },
          value: sums[column],
        })),
      ),
    },
    {
      name: "relay_web_searches_total",
      type: "counter",
      help: "Web searches that were billed.",
      samples: counted("web_searches"),
    },
    {
      name: "relay_cost_dollars_total",
      type: "counter",
      help: "What requests cost by the price list, in dollars.",
      samples: each((sums, labels) => [{ labels, value: sums.cost_nano / NANO_DOLLARS }]),
    },
    {
      name: "relay_time_to_first_byte_seconds",
      type: "histogram",
      help: "From a request's arrival at the relay to the first byte of its answer.",
      samples: models.flatMap(({ labels, sums }) =>
        histogramSamples(
          labels,
          BOUNDS_SECONDS,
          FIRST_BYTE_COLUMNS.map((column) => sums[column]),
          sums.first_byte_ms / MS_A_SECOND,
        ),
      ),
    },
    {
      name: "relay_request_duration_seconds",
      type: "summary",
      help: "From a request's arrival at the relay to the end of its answer.",
      samples: models.flatMap(({ labels, sums }): Sample[] => [
        { suffix: "_sum", labels, value: sums.duration_ms / MS_A_SECOND },
        { suffix: "_count", labels, value: ENDED.reduce((all, name) => all + sums[name], 0) },
      ]),
    },
  ];
}

/** Sums by labels: several shards, or several accounts, can have the same. */
function gathered(
  parts: readonly LifetimeSums[],
  labelsOf: (part: LifetimeSums) => Labels,
): { labels: Labels; sums: Sums }[] {
  const groups = new Map<string, { labels: Labels; sums: Sums }>();
  for (const part of parts) {
    const labels = labelsOf(part);
    const name = JSON.stringify(labels);
    const known = groups.get(name);
    if (known !== undefined) addSums(known.sums, part.sums);
    else groups.set(name, { labels, sums: { ...part.sums } });
  }
  return [...groups.values()];
}
