import { createServer, type Socket } from "node:net";
import { MICROS_PER_MS, machineMicros } from "../clock.ts";
import { MessageReader } from "../http/message-reader.ts";
import {
  BURST_EVENTS,
  commonHeaders,
  jsonBody,
  streamEvents,
  TIME_DIGITS,
  TIME_MARK,
} from "./answers.ts";
import { ACCOUNT_TOKEN_PREFIX } from "./credential.ts";

const JSON_HEADERS = "content-type: application/json";
const STREAM_HEADERS =
  "content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\ntransfer-encoding: chunked";
const LAST_CHUNK = Buffer.from("0\r\n\r\n");

const common = commonHeaders(Date.now());
const json = answerOf(200, jsonBody());
const unauthorised = answerOf(
  401,
  Buffer.from('{"type":"error","error":{"type":"authentication_error","message":"no account"}}'),
);
const { opening, delta, timedDelta, closing } = streamEvents();
const streamHead = Buffer.from(`HTTP/1.1 200 OK\r\n${common}\r\n${STREAM_HEADERS}\r\n\r\n`);
const firstChunks = Buffer.concat([streamHead, ...opening.map(chunk)]);
const lastChunks = Buffer.concat([...closing.map(chunk), LAST_CHUNK]);
const timedChunk = chunk(timedDelta);
const timeAt = timedChunk.indexOf(TIME_MARK, 0, "latin1") + TIME_MARK.length;
const deltas = BURST_EVENTS - opening.length - closing.length;
/** Each event is a chunk of its own, as upstream sends them; all of them go in one write. */
const burst = Buffer.concat([firstChunks, ...Array(deltas).fill(chunk(delta)), lastChunks]);

/** Requests that were answered, and so billed. */
let answered = 0;

/**
 * The fake upstream of the benchmark, in a process of its own: it says its port, and answers. Whoever
 * sends it a message is told how often.
 */
const server = createServer({ noDelay: true }, (socket) => {
  let head = "";
  const reader = new MessageReader({
    onHead: (text) => {
      head = text;
    },
    onBody: () => {},
    onEnd: () => answer(socket, head),
  });
  socket.on("data", (piece: Buffer) => reader.push(piece));
  // The Worker goes first at the end of a run.
  socket.on("error", () => socket.destroy());
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.send?.({ port: typeof address === "object" ? address?.port : undefined });
});
process.on("message", () => process.send?.({ answered }));
process.on("disconnect", () => process.exit(0));

/** JSON, so many milliseconds later. */
const THINKING = "answer=json&after=";

function answer(socket: Socket, head: string): void {
  // What has no account's credential is a mistake of the relay or of this benchmark.
  if (!head.includes(ACCOUNT_TOKEN_PREFIX)) {
    socket.write(unauthorised);
    return;
  }
  answered += 1;
  const query = head.slice(head.indexOf("?") + 1, head.indexOf(" HTTP/1.1"));
  if (query === "answer=json") socket.write(json);
  else if (query === "answer=burst") socket.write(burst);
  else if (query.startsWith(THINKING)) {
    setTimeout(() => socket.write(json), Number(query.slice(THINKING.length)));
  } else pace(socket, new URLSearchParams(query));
}

/** Sends an event each `every` ms, `events` times: at their times, so that a late one delays no other. */
function pace(socket: Socket, query: URLSearchParams): void {
  const events = Number(query.get("events"));
  const everyMicros = Number(query.get("every")) * MICROS_PER_MS;
  const beganAt = machineMicros();
  let sent = 0;
  const dueAt = () => beganAt + (sent + 1) * everyMicros;
  const wait = () => {
    setTimeout(send, Math.max(0, Math.round((dueAt() - machineMicros()) / MICROS_PER_MS)));
  };
  const send = () => {
    if (socket.destroyed) return;
    const stamped = Buffer.from(timedChunk);
    stamped.write(String(machineMicros()).padStart(TIME_DIGITS, "0"), timeAt, "latin1");
    socket.write(stamped);
    sent += 1;
    if (sent < events) wait();
    else socket.write(lastChunks);
  };
  socket.write(firstChunks);
  wait();
}

function answerOf(status: number, body: Buffer): Buffer {
  const head = `HTTP/1.1 ${status} ${status === 200 ? "OK" : "Unauthorized"}\r\n${common}\r\n${JSON_HEADERS}\r\ncontent-length: ${body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

function chunk(bytes: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from(`${bytes.length.toString(16)}\r\n`),
    bytes,
    Buffer.from("\r\n"),
  ]);
}
