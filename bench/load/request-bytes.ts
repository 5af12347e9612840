import type { Ask, Caller } from "./job.ts";

/** A request as it goes over the wire: what a Claude Code sends, and a key of the relay. */
export function requestBytes({ port, path, body }: Ask, { key, session }: Caller): Buffer {
  const head = [
    `POST ${path} HTTP/1.1`,
    `host: 127.0.0.1:${port}`,
    `authorization: Bearer ${key}`,
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(body)}`,
    "accept: application/json",
    "accept-encoding: gzip, deflate, br",
    "anthropic-version: 2023-06-01",
    "anthropic-beta: claude-code-20250219,interleaved-thinking-2025-05-14",
    "user-agent: claude-cli/2.1.90 (external, cli)",
    "x-app: cli",
    "x-stainless-lang: js",
    "x-stainless-runtime: node",
    ...(session === null ? [] : [`x-claude-code-session-id: ${session}`]),
  ];
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`);
}
