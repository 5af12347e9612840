import { exitCodes, Failure, Refusal } from "./failure.ts";
import { accessHeaders, type RelayAddress } from "./relay-address.ts";
import { plain } from "./text-width.ts";

/** Longer than anything that the admin API waits for itself. */
const CALL_LIMIT_MS = 60_000;
/** Where Cloudflare Access sends whoever has not signed in to it. */
const ACCESS_LOGIN = /^https:\/\/[^/]+\/cdn-cgi\/access\/login/;

/** One request to the relay. @throws Failure where no relay answers */
export async function callRelay(
  address: RelayAddress,
  method: string,
  path: string,
  options: { token?: string; body?: unknown } = {},
): Promise<{ status: number; body: Record<string, unknown> }> {
  const { token, body } = options;
  let answer: Response;
  let text: string;
  try {
    answer = await fetch(address.url + path, {
      method,
      // A redirect could carry the session to another host.
      redirect: "manual",
      signal: AbortSignal.timeout(CALL_LIMIT_MS),
      headers: {
        accept: "application/json",
        ...accessHeaders(address),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    text = await answer.text();
  } catch (error) {
    throw unreachable(address, reasonOf(error));
  }
  const { status, headers } = answer;
  const parsed = parseObject(text);
  const isRedirect = status >= 300 && status < 400;
  if (parsed === null || isRedirect) throw notThisRelay(address, status, headers.get("location"));
  return { status, body: parsed };
}

/** Takes the data out of an answer of the admin API. @throws Refusal */
export function dataOf<T>(status: number, body: Record<string, unknown>): T {
  if (body.success === true) return body.data as T;
  const code = typeof body.error === "string" ? body.error : "unknown";
  const message =
    typeof body.message === "string" ? plain(body.message) : `The relay answered ${status}.`;
  const trace =
    status >= 500 && typeof body.requestId === "string"
      ? `\nRequest id: ${plain(body.requestId)}`
      : "";
  throw new Refusal(status, code, message + trace);
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

function unreachable(address: RelayAddress, reason: string): Failure {
  const advice = address.isGiven
    ? "Check the address and that the relay runs there."
    : "Start one with `npm start`, or say where it is with --url or RELAY_URL.";
  return new Failure(
    `No relay answers at ${address.url} (${reason}).\n${advice}`,
    exitCodes.unreachable,
  );
}

/** What answers is something else, or a relay behind another door. */
export function notThisRelay(
  address: RelayAddress,
  status: number,
  location: string | null = null,
): Failure {
  if (location !== null && ACCESS_LOGIN.test(location)) {
    return new Failure(
      `${address.url} is behind Cloudflare Access, which lets the CLI through with a service token only.\nGive one in CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET; see docs/operations.md.`,
      exitCodes.unreachable,
    );
  }
  const to = location === null ? "" : ` with a redirect to ${plain(location)}`;
  return new Failure(
    `What answers at ${address.url} is not this relay: HTTP ${status}${to}.\nCheck --url or RELAY_URL.`,
    exitCodes.unreachable,
  );
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "no connection";
  if (error.name === "TimeoutError") return `no answer within ${CALL_LIMIT_MS / 1000} s`;
  const cause = error.cause;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  switch (code) {
    case "ECONNREFUSED":
      return "connection refused";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "unknown host";
    case "ECONNRESET":
    case "UND_ERR_SOCKET":
      return "connection closed";
    default:
      return plain((cause instanceof Error && cause.message) || "no connection");
  }
}
