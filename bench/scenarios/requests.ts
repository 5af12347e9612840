const SMALL_BYTES = 2_000;
const LONG_BYTES = 400_000;
const MODEL = "claude-sonnet-5";
const USER_ID =
  '{"device_id":"d3b07384d113edec49eaa6238ad5ff00","account_uuid":"","session_id":"5f2b0a52-0f5c-4d0c-9c53-6a3f3b1f2f10"}';

/** A message of 2 KB. */
export function smallRequest(stream: boolean): string {
  const body = (text: string) =>
    JSON.stringify({
      model: MODEL,
      max_tokens: 1_024,
      ...(stream ? { stream } : {}),
      metadata: { user_id: USER_ID },
      messages: [{ role: "user", content: text }],
    });
  return body(sentences(SMALL_BYTES - body("").length));
}

/**
 * A conversation of 400 KB, shaped like Claude Code's: the model in front, then many turns of text,
 * calls of tools and their results, with the quotes and line breaks of code; then a long system
 * prompt and the tools; `metadata` and `stream` behind them all.
 */
export function longRequest(): string {
  const messages: object[] = [{ role: "user", content: [{ type: "text", text: sentences(600) }] }];
  const body = () =>
    JSON.stringify({
      model: MODEL,
      messages,
      system: [
        { type: "text", text: "You are Claude Code, Anthropic's official CLI for Claude." },
        { type: "text", text: sentences(16_000), cache_control: { type: "ephemeral" } },
      ],
      tools: Array.from({ length: 16 }, (_, index) => tool(index)),
      metadata: { user_id: USER_ID },
      max_tokens: 32_000,
      thinking: { type: "enabled", budget_tokens: 31_999 },
    });
  for (let turn = 0; body().length < LONG_BYTES - 8_000; turn += 1) {
    const id = `toolu_01Bench${String(turn).padStart(16, "0")}`;
    messages.push(
      {
        role: "assistant",
        content: [
          { type: "text", text: sentences(300) },
          { type: "tool_use", id, name: "Read", input: { file_path: `src/part-${turn}.ts` } },
        ],
      },
      {
        role: "user",
        content: [{ type: "tool_result", tool_use_id: id, content: code(6_000, turn) }],
      },
    );
  }
  messages.push({ role: "user", content: sentences(LONG_BYTES - body().length) });
  return body();
}

function sentences(chars: number): string {
  const sentence = "Read the file first, then change the function so that the test below passes. ";
  return sentence
    .repeat(Math.ceil(Math.max(0, chars) / sentence.length))
    .slice(0, Math.max(0, chars));
}

function code(chars: number, turn: number): string {
  const line = `  const value${turn} = table.get("name") ?? { kind: "none", text: 'a "quoted" word' };\n\treturn value${turn};\n`;
  return line.repeat(Math.ceil(chars / line.length)).slice(0, chars);
}

function tool(index: number): object {
  return {
    name: `Tool${index}`,
    description: sentences(900),
    input_schema: {
      type: "object",
      properties: { file_path: { type: "string", description: sentences(120) } },
      required: ["file_path"],
      additionalProperties: false,
    },
  };
}
