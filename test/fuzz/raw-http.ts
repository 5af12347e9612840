import { connect } from "node:net";

/** Requests as bytes, since every client's library refuses to send what an attacker would. */

export interface RawAnswer {
  status: number;
  /** Lower-case names; repeated ones joined. */
  headers: Record<string, string>;
  body: string;
}

export type RawOutcome =
  | { kind: "answer"; answer: RawAnswer }
  /** The connection was closed without an answer: allowed where the bytes are no request. */
  | { kind: "closed" }
  | { kind: "hung" };

/** Far more than any answer here needs, on a machine that is busy with other things. */
const HUNG_MS = 20_000;
/** A socket that was upgraded may stay open: it is left to take what it was sent, and then closed. */
const UPGRADED_MS = 50;
const SWITCHING_PROTOCOLS = 101;
const HEAD_END = "\r\n\r\n";

/**
 * Sends bytes over a connection of their own, and takes the first answer.
 *
 * @param options.isHead its answer has no body, whatever length it tells
 * @param options.end ends the sending side after them: nothing waits for what never comes
 */
export function sendRaw(
  url: string,
  bytes: Uint8Array,
  options: { end: boolean; isHead?: boolean },
): Promise<RawOutcome> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    let received = Buffer.alloc(0);
    const settle = (outcome: RawOutcome) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    const look = (hasEnded: boolean) => {
      const answer = answerOf(received.toString("latin1"), hasEnded, options.isHead ?? false);
      if (answer?.status === SWITCHING_PROTOCOLS && !hasEnded) {
        setTimeout(() => settle({ kind: "answer", answer }), UPGRADED_MS);
      } else if (answer !== null) settle({ kind: "answer", answer });
      else if (hasEnded) settle({ kind: "closed" });
    };
    const timer = setTimeout(() => settle({ kind: "hung" }), HUNG_MS);
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      look(false);
    });
    socket.on("end", () => look(true));
    socket.on("close", () => look(true));
    // Whoever closes while bytes still come resets: what was answered before counts.
    socket.on("error", () => look(true));
    socket.write(bytes);
    if (options.end) socket.end();
  });
}

/** @returns null where it is not whole yet */
function answerOf(text: string, hasEnded: boolean, isHead: boolean): RawAnswer | null {
  const headEnd = text.indexOf(HEAD_END);
  if (headEnd < 0) return null;
  const [first = "", ...lines] = text.slice(0, headEnd).split("\r\n");
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1] ?? Number.NaN);
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
  }
  const rest = text.slice(headEnd + HEAD_END.length);
  if (status === SWITCHING_PROTOCOLS || isHead) return { status, headers, body: rest };
  const body = bodyOf(rest, headers, hasEnded);
  return body === null ? null : { status, headers, body: Buffer.from(body, "latin1").toString() };
}

function bodyOf(rest: string, headers: Record<string, string>, hasEnded: boolean): string | null {
  if (headers["transfer-encoding"] === "chunked") {
    let body = "";
    for (let at = 0; ; ) {
      const lineEnd = rest.indexOf("\r\n", at);
      if (lineEnd < 0) return hasEnded ? body : null;
      const size = Number.parseInt(rest.slice(at, lineEnd), 16);
      if (size === 0) return body;
      body += rest.slice(lineEnd + 2, lineEnd + 2 + size);
      at = lineEnd + 2 + size + 2;
      if (at > rest.length) return hasEnded ? body : null;
    }
  }
  const length = headers["content-length"];
  if (length === undefined) return hasEnded ? rest : null;
  return rest.length >= Number(length) || hasEnded ? rest.slice(0, Number(length)) : null;
}
