import { fail, ok } from "../../../src/result.ts";
import { ABANDONED, type Answer, type Failure } from "./client.ts";
import type { KeyInUse, KeyUsage } from "./usage.ts";

/** What whoever holds a key may know of it. */
export interface HeldKey {
  id: string;
  name: string;
  description: string;
  createdAt: string;
  expiresAt: string | null;
  limits: KeyInUse & { models: { allowed: string[] | null; denied: string[] } };
  usage: KeyUsage;
}

export interface Model {
  id: string;
  display_name: string;
}

/** The most that a page of the list may have. */
const MODELS_MAX = 1_000;
/** What the relay's own errors begin with. */
const OF_THE_RELAY = /^Relay: /;

/** The relay's client API as these screens ask it: with a key, and without the admin's cookie. */
export async function readHeldKey(apiKey: string, signal: AbortSignal): Promise<Answer<HeldKey>> {
  const answer = await ask<{ keyInfo: HeldKey }>(apiKey, "/api/v1/key-info", signal);
  return answer.ok ? ok(answer.value.keyInfo) : answer;
}

/** Models that the key may use. */
export async function readModelsOf(apiKey: string, signal: AbortSignal): Promise<Answer<Model[]>> {
  const path = `/api/v1/models?limit=${MODELS_MAX}`;
  const answer = await ask<{ data: Model[] }>(apiKey, path, signal);
  return answer.ok ? ok(answer.value.data) : answer;
}

async function ask<T>(apiKey: string, path: string, signal: AbortSignal): Promise<Answer<T>> {
  let answer: Response;
  let parsed: unknown;
  try {
    answer = await fetch(path, {
      credentials: "omit",
      headers: { "x-api-key": apiKey, accept: "application/json" },
      signal,
    });
    parsed = await answer.json().catch(() => null);
  } catch {
    return fail(failureOf(signal.aborted ? ABANDONED : "unreachable", 0));
  }
  if (answer.ok && parsed !== null) return ok(parsed as T);
  const { error } = (parsed ?? {}) as { error?: { message?: string } };
  return fail({
    ...failureOf(codeOf(answer.status), answer.status),
    message: asSentence(error?.message ?? ""),
    requestId: answer.headers.get("x-relay-request-id"),
    retryAfterS: Number(answer.headers.get("retry-after")) || null,
  });
}

/** Without the sign of whose words these are: here nobody else speaks. */
function asSentence(message: string): string {
  const words = message.replace(OF_THE_RELAY, "");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** As this API tells its errors by Anthropic's types, which say less than the status. */
function codeOf(status: number): string {
  switch (status) {
    case 401:
      return "key_unknown";
    case 403:
      return "key_out_of_use";
    case 429:
      return "keys_throttled";
    default:
      return status >= 500 ? "unavailable" : "not_understood";
  }
}

function failureOf(code: string, status: number): Failure {
  return { code, status, message: "", requestId: null, retryAfterS: null };
}
