import type { RosterRow } from "../accounts/roster-row.ts";
import { egressFor } from "../egress/egress.ts";
import type { Services } from "../relay/services.ts";
import { decodedText } from "../upstream/content-encoding.ts";
import { upstreamHeaders } from "../upstream/headers.ts";
import { judge } from "../upstream/verdict.ts";

const TEST_TIMEOUT_MS = 15_000;
const WORDS_MAX_CHARS = 300;
const ANTHROPIC_VERSION = "2023-06-01";

export interface AccountTest {
  ok: boolean;
  /** Upstream's status, or null where no answer came. */
  status: number | null;
  durationMs: number;
  message: string;
}

/** Asks upstream for its model list with the account's credential: free, and it proves the way. */
export async function testAccount(services: Services, row: RosterRow): Promise<AccountTest> {
  const beganAtMs = Date.now();
  const result = (okay: boolean, status: number | null, message: string): AccountTest => ({
    ok: okay,
    status,
    durationMs: Date.now() - beganAtMs,
    message,
  });
  const egress = egressFor(row.hasProxy);
  if (!egress.ok) return result(false, null, egress.error.message);
  const credential = await services.credentials.acquire(row.id);
  if (!credential.ok) return result(false, null, credential.error.message);
  const headers = upstreamHeaders(new Headers(), credential.value);
  headers.set("anthropic-version", ANTHROPIC_VERSION);
  try {
    const answer = await egress.value(`${services.config.anthropicApiUrl}/v1/models?limit=1`, {
      headers,
      redirect: "manual",
      signal: AbortSignal.timeout(TEST_TIMEOUT_MS),
    });
    const body = await decodedText(new Uint8Array(await answer.arrayBuffer()), answer.headers);
    if (answer.ok) return result(true, answer.status, "Anthropic accepted the credential.");
    const verdict = judge(
      { status: answer.status, headers: answer.headers, errorBody: body },
      Date.now(),
    );
    if (verdict.kind === "credential_rejected") {
      // As for a relayed request: refreshed once where it can be, else put to rest.
      const renewed = await services.credentials.acquire(row.id, credential.value.generation);
      const message = renewed.ok
        ? "Anthropic refused the credential; it was refreshed. Test again."
        : renewed.error.message;
      return result(false, answer.status, message);
    }
    return result(false, answer.status, `Anthropic answered ${answer.status}. ${wordsOf(body)}`);
  } catch {
    return result(false, null, "Anthropic could not be reached from here.");
  }
}

/** What upstream said, where it said it in its usual shape. */
function wordsOf(body: string): string {
  try {
    const parsed = JSON.parse(body) as { error?: { message?: unknown } } | null;
    const message = parsed?.error?.message;
    return typeof message === "string" ? message.slice(0, WORDS_MAX_CHARS) : "";
  } catch {
    return "";
  }
}
