import type { FakeUpstream } from "../../test/fixtures/fake-upstream/index.ts";
import { Stop } from "./stop.ts";

const REQUEST_LIMIT_MS = 30_000;
/** Slow enough to be seen streaming. */
const DELTA_INTERVAL_MS = 60;
const DEMO_TEXT =
  "Hello! This answer comes from a stand-in for the Anthropic API on this machine. It went through the relay as the real one would: your relay key was checked, an account was chosen, its credential took the key's place, and what you read was streamed back byte for byte.";

/** A stand-in for the Anthropic API on this machine, so that a demo needs no account. */
export interface DemoUpstream {
  vars: Record<string, string>;
  apiKey: string;
  close(): Promise<void>;
}

/** Starts the stand-in in this process, on a free port of the loopback interface. */
export async function startDemoUpstream(): Promise<DemoUpstream> {
  const { startFakeUpstream } = await import("../../test/fixtures/fake-upstream/index.ts");
  const fake: FakeUpstream = await startFakeUpstream({ host: "127.0.0.1", port: 0 });
  fake.script(
    { path: "/v1/messages", times: "always" },
    { name: "demo", intervalMs: DELTA_INTERVAL_MS, answer: { text: DEMO_TEXT } },
  );
  return {
    vars: {
      ANTHROPIC_API_URL: fake.url,
      OAUTH_AUTHORIZE_URL: fake.oauth.authorizeUrl,
      OAUTH_TOKEN_URL: fake.oauth.tokenUrl,
    },
    apiKey: fake.accounts.addApiKey({ name: "demo" }).apiKey,
    close: () => fake.close(),
  };
}

/**
 * Adds an account and a key over the admin API, as an operator would.
 *
 * @returns the relay key
 */
export async function furnishDemo(
  url: string,
  admin: { username: string; password: string },
  accountApiKey: string,
): Promise<string> {
  const login = await post(url, "/admin/login", admin);
  const token = textField(login, "token");
  await post(url, "/admin/claude-accounts", { name: "Demo account", apiKey: accountApiKey }, token);
  return textField(await post(url, "/admin/api-keys", { name: "Demo key" }, token), "apiKey");
}

/** A line to paste into a shell: asks the relay for a streamed answer. */
export function curlLine(url: string, relayKey: string): string {
  const body = JSON.stringify({
    model: "claude-sonnet-5",
    max_tokens: 256,
    stream: true,
    messages: [{ role: "user", content: "Hello" }],
  });
  return [
    `curl -N ${url}/v1/messages`,
    `-H 'x-api-key: ${relayKey}'`,
    "-H 'content-type: application/json'",
    "-H 'anthropic-version: 2023-06-01'",
    `-d '${body}'`,
  ].join(" ");
}

async function post(
  url: string,
  path: string,
  body: Record<string, unknown>,
  token?: string,
): Promise<unknown> {
  const response = await fetch(url + path, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
  });
  const text = await response.text();
  if (!response.ok) throw new Stop(`POST ${path} answered ${response.status}: ${text}`);
  const answer: unknown = JSON.parse(text);
  return typeof answer === "object" && answer !== null && "data" in answer ? answer.data : null;
}

function textField(data: unknown, name: string): string {
  const value =
    typeof data === "object" && data !== null ? Object.entries(data).find(([k]) => k === name) : [];
  const text: unknown = value?.[1];
  if (typeof text !== "string") throw new Stop(`The admin API answered without "${name}".`);
  return text;
}
