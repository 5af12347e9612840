/** The answer of `GET /health`, as far as the scripts use it. */
export interface Health {
  status: string;
  version: string;
  keyStore?: string;
  accounts?: { usable: number; total: number; otherEncryptionKey: number };
  message?: string;
}

const ANSWER_LIMIT_MS = 10_000;

/**
 * Asks a relay how it is.
 *
 * @returns null where the address gives no answer, or none of a relay
 */
export async function fetchHealth(
  url: string,
  limitMs: number = ANSWER_LIMIT_MS,
): Promise<Health | null> {
  try {
    const signal = AbortSignal.timeout(limitMs);
    // A relay that cannot serve yet answers with 503, and says why.
    const response = await fetch(`${url}/health`, { signal });
    const body: unknown = await response.json();
    return isHealth(body) ? body : null;
  } catch {
    return null;
  }
}

function isHealth(body: unknown): body is Health {
  return typeof body === "object" && body !== null && "status" in body && "version" in body;
}
