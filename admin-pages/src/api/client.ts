import { fail, ok, type Result } from "../../../src/result.ts";
import { sessionEnded } from "../session.ts";

/** Why a call brought nothing: the relay's own code and words, or a code of the panel's. */
export interface Failure {
  /** A code of docs/api.md, or `unreachable` or `not_understood`. */
  code: string;
  /** 0 where no answer came. */
  status: number;
  /** What happened and what to do, in the relay's words. Empty where it said nothing. */
  message: string;
  requestId: string | null;
  retryAfterS: number | null;
}

export type Answer<T> = Result<T, Failure>;

type Query = Record<string, string | number | null | undefined>;

interface CallOptions {
  query?: Query;
  body?: unknown;
  signal?: AbortSignal;
}

/** Calls that the browser itself broke off, because nobody waits for them any more. */
export const ABANDONED = "abandoned";

/**
 * One call of the admin API. The session is a cookie that no script can read; where it has ended,
 * the sign-in screen comes.
 */
export async function call<T>(
  method: string,
  path: string,
  { query, body, signal }: CallOptions = {},
): Promise<Answer<T>> {
  let answer: Response;
  let parsed: unknown;
  try {
    answer = await fetch(`/admin${path}${searchOf(query)}`, {
      method,
      credentials: "same-origin",
      headers: {
        accept: "application/json",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
    parsed = await answer.json().catch(() => null);
  } catch {
    return fail(failureOf(signal?.aborted ? ABANDONED : "unreachable", 0));
  }
  const envelope = parsed as Envelope<T> | null;
  if (answer.ok && envelope?.success === true) return ok(envelope.data);
  const failure = {
    ...failureOf(envelope?.error ?? "not_understood", answer.status),
    message: envelope?.message ?? "",
    requestId: envelope?.requestId ?? answer.headers.get("x-relay-request-id"),
    retryAfterS: Number(answer.headers.get("retry-after")) || null,
  };
  if (failure.code === "not_signed_in") sessionEnded();
  return fail(failure);
}

interface Envelope<T> {
  success: boolean;
  data: T;
  error?: string;
  message?: string;
  requestId?: string;
}

function failureOf(code: string, status: number): Failure {
  return { code, status, message: "", requestId: null, retryAfterS: null };
}

function searchOf(query: Query = {}): string {
  const given = Object.entries(query).flatMap(([name, value]): [string, string][] =>
    value === null || value === undefined || value === "" ? [] : [[name, String(value)]],
  );
  return given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
}
