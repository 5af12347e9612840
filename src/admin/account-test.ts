import type { RosterRow } from "../accounts/roster-row.ts";
import { egressFor } from "../egress/egress.ts";
import type { Services } from "../relay/services.ts";
import { decodedText } from "../upstream/content-encoding.ts";
import { upstreamHeaders } from "../upstream/headers.ts";
import { judge } from "../upstream/verdict.ts";

const TEST_TIMEOUT_MS = 15_000;
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
    return result(false, answer.status, `Anthropic answered ${answer.status} (${verdict.kind}).`);
  } catch {
    return result(false, null, "Anthropic could not be reached from here.");
  }
}
