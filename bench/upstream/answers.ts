/** How the fake upstream answers: the request's query says it, so that no header has to. */
export type AnswerKind = "json" | "burst" | "paced";

export const JSON_ANSWER_BYTES = 2_000;
export const BURST_EVENTS = 200;
export const EVENT_BYTES = 120;
/** In a paced event the time of its sending stands behind this, in microseconds of the machine's clock. */
export const TIME_MARK = '"@';
export const TIME_DIGITS = 16;

export const ANSWER_OUTPUT_TOKENS = 387;

const USAGE = {
  input_tokens: 412,
  cache_creation_input_tokens: 96,
  cache_read_input_tokens: 12_288,
  cache_creation: { ephemeral_5m_input_tokens: 96, ephemeral_1h_input_tokens: 0 },
  output_tokens: ANSWER_OUTPUT_TOKENS,
  service_tier: "standard",
};
const MESSAGE = {
  id: "msg_01Bench4kqYx7nT2wVmR8sLd",
  type: "message",
  role: "assistant",
  model: "claude-sonnet-5",
};
const HOUR_S = 3_600;

/** A whole Messages answer. */
export function jsonBody(): Buffer {
  const message = (text: string) =>
    JSON.stringify({
      ...MESSAGE,
      content: [{ type: "text", text }],
      stop_reason: "end_turn",
      stop_sequence: null,
      usage: USAGE,
    });
  return Buffer.from(message("x".repeat(JSON_ANSWER_BYTES - message("").length)));
}

/**
 * The events of a streamed answer: `message_start` first, `message_stop` last, and text between, in
 * events of {@link EVENT_BYTES}, or a few more where they carry a time.
 */
export function streamEvents(): {
  opening: Buffer[];
  delta: Buffer;
  timedDelta: Buffer;
  closing: Buffer[];
} {
  const opening = [
    event("message_start", {
      message: {
        ...MESSAGE,
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: { ...USAGE, output_tokens: 1 },
      },
    }),
    event("content_block_start", { index: 0, content_block: { type: "text", text: "" } }),
  ];
  const closing = [
    event("content_block_stop", { index: 0 }),
    event("message_delta", {
      delta: { stop_reason: "end_turn", stop_sequence: null },
      usage: { output_tokens: USAGE.output_tokens },
    }),
    event("message_stop", {}),
  ];
  const delta = textEvent(".".repeat(EVENT_BYTES - textEvent("").length));
  return { opening, delta, timedDelta: textEvent(`@${"0".repeat(TIME_DIGITS)}`), closing };
}

function textEvent(text: string): Buffer {
  return event("content_block_delta", { index: 0, delta: { type: "text_delta", text } });
}

function event(type: string, fields: object): Buffer {
  return Buffer.from(`event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`);
}

/** Headers as a subscription's answers carry them: limits are read of each one. */
export function commonHeaders(nowMs: number): string {
  const reset = (hours: number) => Math.floor(nowMs / 1_000) + hours * HOUR_S;
  return [
    "date: Thu, 01 Jan 2026 00:00:00 GMT",
    "server: bench",
    "request-id: req_011BenchUpstream0000000",
    "anthropic-organization-id: 00000000-0000-4000-8000-000000000000",
    "anthropic-ratelimit-unified-status: allowed",
    `anthropic-ratelimit-unified-reset: ${reset(3)}`,
    "anthropic-ratelimit-unified-representative-claim: five_hour",
    "anthropic-ratelimit-unified-5h-status: allowed",
    `anthropic-ratelimit-unified-5h-reset: ${reset(3)}`,
    "anthropic-ratelimit-unified-5h-utilization: 0.31",
    "anthropic-ratelimit-unified-7d-status: allowed",
    `anthropic-ratelimit-unified-7d-reset: ${reset(100)}`,
    "anthropic-ratelimit-unified-7d-utilization: 0.12",
  ].join("\r\n");
}
