import type { RosterRow } from "../accounts/roster-row.ts";
import type { Walk } from "../egress/egress.ts";
import { EGRESS_WORDS, EgressFailed, type EgressFaultCode, type Leg } from "../egress/fault.ts";
import type { Services } from "../relay/services.ts";
import { decodedText } from "../upstream/content-encoding.ts";
import { upstreamHeaders } from "../upstream/headers.ts";
import { judge } from "../upstream/verdict.ts";

const TEST_TIMEOUT_MS = 15_000;
/** Through a proxy every leg has a time limit of its own, of ten seconds where nothing else is set. */
const PROXIED_TEST_TIMEOUT_MS = 45_000;
const EXIT_TIMEOUT_MS = 10_000;
const WORDS_MAX_CHARS = 300;
const ANTHROPIC_VERSION = "2023-06-01";

export interface AccountTest {
  ok: boolean;
  /** Upstream's status, or null where no answer came. */
  status: number | null;
  durationMs: number;
  message: string;
  way: TestedWay;
}

/** How the request went to upstream, as far as it came. */
export interface TestedWay {
  /** By name; null where the way is direct, or no forward proxy was asked. */
  forwardProxy: string | null;
  legs: readonly Leg[];
  /** From where upstream was asked; null where nothing is configured that would tell. */
  exitAddress: string | null;
  /** Where the way failed; null where upstream answered, or was not asked. */
  fault: EgressFaultCode | null;
}

const NO_WAY: TestedWay = { forwardProxy: null, legs: [], exitAddress: null, fault: null };

/** Asks upstream for its model list with the account's credential: free, and it proves the way. */
export async function testAccount(services: Services, row: RosterRow): Promise<AccountTest> {
  const beganAtMs = Date.now();
  let way = NO_WAY;
  const result = (okay: boolean, status: number | null, message: string): AccountTest => ({
    ok: okay,
    status,
    durationMs: Date.now() - beganAtMs,
    message,
    way,
  });
  const credential = await services.credentials.acquire(row.id);
  if (!credential.ok) return result(false, null, credential.error.message);
  const headers = upstreamHeaders(new Headers(), credential.value);
  headers.set("anthropic-version", ANTHROPIC_VERSION);
  const { proxy } = credential.value;
  const egress = services.egress.of(row.id, proxy);
  try {
    const walk = await egress.walk(`${services.config.anthropicApiUrl}/v1/models?limit=1`, {
      headers,
      redirect: "manual",
      signal: AbortSignal.timeout(proxy === null ? TEST_TIMEOUT_MS : PROXIED_TEST_TIMEOUT_MS),
    });
    const { answer } = walk;
    const exitAddress = proxy === null ? null : await exitAddressOf(services, egress.walk);
    way = { forwardProxy: walk.forwardProxy, legs: walk.legs, exitAddress, fault: null };
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
  } catch (error) {
    if (error instanceof EgressFailed) {
      const { code, forwardProxy, legs } = error;
      const { reason, advice } = EGRESS_WORDS[code];
      way = { forwardProxy, legs, exitAddress: null, fault: code };
      return result(false, null, `Its way to Anthropic failed: ${reason}. ${advice}`);
    }
    return result(false, null, "Anthropic could not be reached from here.");
  }
}

/** Asks the configured address from where it is asked. @returns null where that is not told */
async function exitAddressOf(
  { config }: Services,
  walk: (input: string, init: RequestInit) => Promise<Walk>,
): Promise<string | null> {
  if (config.exitAddressUrl === "") return null;
  try {
    const { answer } = await walk(config.exitAddressUrl, {
      redirect: "manual",
      signal: AbortSignal.timeout(EXIT_TIMEOUT_MS),
    });
    const text = (await answer.text()).trim();
    return answer.ok && ADDRESS.test(text) ? text : null;
  } catch {
    return null;
  }
}

const ADDRESS = /^[0-9a-fA-F.:]{2,45}$/;

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
