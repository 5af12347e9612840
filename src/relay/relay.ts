import type { Admitted } from "../../durable-objects/key-meter/contract.ts";
import type { RosterRow } from "../accounts/roster-row.ts";
import { describeError, runAfter } from "../background.ts";
import { callObject } from "../durable-call.ts";
import { policyOf } from "../keys/key-record.ts";
import { newRequestId } from "../request-id.ts";
import { fail, ok, type Result } from "../result.ts";
import { lookAtHeaders } from "../upstream/headers.ts";
import { modelFamily } from "../upstream/model-names.ts";
import { emptyReading } from "../upstream/usage.ts";
import { judgeStreamError } from "../upstream/verdict.ts";
import { conversationOf } from "./conversation.ts";
import { type Delivery, deliver, type Ending } from "./deliver.ts";
import type { Gate } from "./gate.ts";
import { identify } from "./identify.ts";
import { type MessageFields, readMessageFields, SESSION_MAX_CHARS } from "./message-fields.ts";
import { dropBody, readBody } from "./read-body.ts";
import { type Refusal, refuse } from "./refusal.ts";
import type { RelayCall } from "./relay-call.ts";
import { report } from "./report.ts";
import { Sender, type SendResult } from "./send.ts";
import type { Services } from "./services.ts";
import { settle } from "./settle.ts";
import type { Outcome } from "./settlement.ts";

const NO_BODY = new Uint8Array();

/**
 * Servers take 16 KiB of headers at the least, and many cut the connection at more: that looks like an
 * upstream that is out of reach, and one client would rest every account. The rest is the relay's own.
 */
const MAX_HEADER_CHARS = 12 * 1024;

/** So much a client can write although nobody reads it. */
const UNREAD_BODY_MAX_BYTES = 16 * 1024;

/**
 * The walk of one request (docs/architecture.md): identify, read, choose, acquire, send, stream,
 * settle. Framework-free: a `Request` in, a `Response` out.
 *
 * @param upstreamPath path and query as upstream knows them
 * @param metered true for messages; `count_tokens` is never leased, billed or limited by cost
 */
export function relay(
  request: Request,
  services: Services,
  ctx: ExecutionContext,
  upstreamPath: string,
  metered: boolean,
): Promise<Response> {
  if (services.gate.isShut()) return turnAway(request, services.gate);
  const answered = walk(request, services, ctx, upstreamPath, metered);
  // A client that leaves before the answer would take everything along that nothing waits for, and
  // an admitted request would never be settled.
  runAfter(ctx, services.log, "relay", answered);
  return answered;
}

/**
 * Said as early as can be: where many have to be told, it decides how many are served what that costs.
 * So a small body, which the client has written by then, is not read.
 */
async function turnAway(request: Request, gate: Gate): Promise<Response> {
  const length = Number(request.headers.get("content-length") ?? Number.POSITIVE_INFINITY);
  if (length > UNREAD_BODY_MAX_BYTES) await dropBody(request);
  return overloaded(gate, newRequestId(Date.now()));
}

function overloaded(gate: Gate, requestId: string): Response {
  gate.noteRefused();
  return refuse({ kind: "relay_overloaded" }, requestId, Date.now());
}

async function walk(
  request: Request,
  services: Services,
  ctx: ExecutionContext,
  upstreamPath: string,
  metered: boolean,
): Promise<Response> {
  const { gate } = services;
  const passage = gate.arrive(Number(request.headers.get("content-length") ?? Number.NaN));
  const startedAtMs = Date.now();
  const requestId = newRequestId(startedAtMs);
  let keyId: string | undefined;
  const refused = (refusal: Refusal): Response => {
    services.log(refusal.kind === "internal" ? "error" : "info", "request.refused", {
      requestId,
      keyId,
      reason: refusal.kind,
    });
    return refuse(refusal, requestId, Date.now());
  };

  /** For all that is refused before its meter is asked. */
  const turnedBack = (refusal: Refusal): Response => {
    gate.leave(passage);
    return refused(refusal);
  };

  const identified = await identify(request.headers, services);
  if (!identified.ok) {
    await dropBody(request);
    return turnedBack(identified.error);
  }
  const { record: key, mark: keyMark } = identified.value;
  keyId = key.id;
  const headersSeen = lookAtHeaders(request.headers);
  if (headersSeen.characters > MAX_HEADER_CHARS) {
    await dropBody(request);
    return turnedBack({ kind: "headers_too_large" });
  }
  const body = await readBody(request);
  if (!body.ok) return turnedBack(body.error);
  const fields = readMessageFields(body.value);
  if (!fields.ok) return turnedBack(fields.error);

  if (!gate.mayAsk() && !(await gate.waitToAsk(passage))) return overloaded(gate, requestId);
  gate.ask(passage);

  const call: RelayCall = {
    services,
    ctx,
    request,
    requestId,
    startedAtMs,
    key,
    keyMark,
    upstreamPath,
    metered,
    unwantedHeaders: headersSeen.unwanted,
    body: body.value,
    fields: fields.value,
    family: modelFamily(fields.value.model),
    session: sessionOf(request.headers, fields.value, body.value),
    pinnedTo: null,
    isTight: false,
  };
  call.pinnedTo = rememberedPin(call);
  const sender = new Sender(call);
  // A thread's message must wait for the meter to say which account made the one before it.
  const prepared = fields.value.previousMessageId === null ? sender.prepare() : undefined;
  const asked = admit(call, sender.preparedFor).finally(() => gate.metered(passage));
  const [admitted] = await Promise.all([asked, prepared]);
  if (!admitted.ok) {
    sender.drop();
    const answer = refused(admitted.error);
    if (admitted.error.kind === "meter_unavailable") {
      // It may have been let in all the same, and would count as running until its lease ends.
      const sent = { outcome: fail(admitted.error), attempts: [], mayBeBilled: false };
      settleLater(call, sent, ended("refused"), answer.status, null);
    }
    return answer;
  }
  call.pinnedTo = admitted.value.pinnedTo;
  call.isTight = admitted.value.isTight;

  let sent: SendResult;
  gate.send(passage);
  try {
    sent = await sender.send(admitted.value.threadAccountId);
  } catch (error) {
    services.log("error", "request.failed", { requestId, keyId, error: describeError(error) });
    sent = { outcome: fail({ kind: "internal" }), attempts: [], mayBeBilled: false };
  }
  gate.answered(passage, sent.outcome.ok);
  // An account has answered, or none will: the stream must not hold the body to its end.
  call.body = NO_BODY;
  if (!sent.outcome.ok) {
    const refusal = sent.outcome.error;
    const answer = refused(refusal);
    const outcome = refusal.kind === "client_gone" ? "client_closed" : "refused";
    settleLater(call, sent, ended(outcome), answer.status, null);
    return answer;
  }

  rememberPin(call, sent.outcome.value.row.id);
  const firstByteAtMs = Date.now();
  let delivery: Delivery;
  try {
    delivery = await deliver(sent.outcome.value, {
      requestId,
      stripRateLimits: services.config.stripRateLimitHeaders,
      metered,
      clientSignal: request.signal,
      onMessageId: (messageId) => rememberThread(call, messageId, sent),
    });
  } catch (error) {
    services.log("error", "request.failed", { requestId, keyId, error: describeError(error) });
    delivery = { response: null, ended: Promise.resolve(ended("truncated")) };
  }
  const answer = delivery.response ?? refused({ kind: "answer_broke_off" });
  settleLater(call, sent, delivery.ended, answer.status, firstByteAtMs);
  return answer;
}

/**
 * Step 4, the key's half: may this request pass now?
 *
 * @param accountId the account that was chosen ahead: a session that is on none yet is put there
 */
async function admit(
  call: RelayCall,
  accountId: string | null,
): Promise<Result<Admitted, Refusal>> {
  const { services, key, requestId, fields, metered, session, pinnedTo } = call;
  const { model, previousMessageId } = fields;
  const use = { policy: policyOf(key), mark: call.keyMark, model };
  // What this isolate relayed a moment ago may not have reached the meter yet.
  const threadAccountId =
    previousMessageId === null
      ? null
      : (services.threads.get(`${key.id} ${previousMessageId}`) ?? null);
  try {
    if (!metered) {
      const refusal = await callObject(
        () => services.meter(key.id),
        (meter) => meter.check(use),
      );
      return refusal === null ? ok({ threadAccountId, pinnedTo, isTight: false }) : fail(refusal);
    }
    const admission = { ...use, requestId, previousMessageId, session, accountId };
    const beside = (work: Promise<void>) =>
      runAfter(call.ctx, services.log, "settle", work, { keyId: key.id });
    const admitted = await services.meterLink.admit(key.id, admission, beside);
    if (!admitted.ok) return admitted;
    rememberPin(call, admitted.value.pinnedTo);
    return threadAccountId === null ? admitted : ok({ ...admitted.value, threadAccountId });
  } catch (cause) {
    const error = describeError(cause);
    services.log("error", "meter.unavailable", { requestId, keyId: key.id, error });
    return fail({ kind: "meter_unavailable" });
  }
}

function rememberedPin({ services, key, session }: RelayCall): string | null {
  return session === null ? null : (services.pins.get(`${key.id} ${session}`) ?? null);
}

function rememberPin({ services, key, session }: RelayCall, accountId: string | null): void {
  if (session === null || accountId === null) return;
  services.pins.set(`${key.id} ${session}`, accountId);
}

function settleLater(
  call: RelayCall,
  sent: SendResult,
  ending: Ending | Promise<Ending>,
  status: number,
  firstByteAtMs: number | null,
): void {
  const settled = Promise.resolve(ending).then((end) => {
    if (sent.outcome.ok) {
      sent.outcome.value.release();
      reportStreamError(call, sent.outcome.value.row, end);
    }
    return call.metered ? settle(call, sent, end, status, firstByteAtMs) : undefined;
  });
  const ids = { requestId: call.requestId, keyId: call.key.id };
  runAfter(call.ctx, call.services.log, "settle", settled, ids);
}

/** An error inside a stream that began well teaches the account as one in its place would have. */
function reportStreamError(call: RelayCall, row: RosterRow, { reading }: Ending): void {
  const verdict = judgeStreamError(reading.errorType);
  if (verdict !== null) report(call, row, verdict, null);
}

/** A thread lives in one account's organisation: its next message must go there. */
function rememberThread(call: RelayCall, messageId: string, sent: SendResult): void {
  if (!call.fields.thread || !sent.outcome.ok) return;
  const { services, key, ctx } = call;
  const accountId = sent.outcome.value.row.id;
  services.threads.set(`${key.id} ${messageId}`, accountId);
  const told = callObject(
    () => services.meter(key.id),
    (meter) => meter.rememberMessage(messageId, accountId),
  );
  const ids = { requestId: call.requestId, keyId: key.id, accountId };
  runAfter(ctx, services.log, "remember thread", told, ids);
}

/** The session header of Claude Code, else that of `metadata.user_id`, else the conversation's beginning. */
function sessionOf(headers: Headers, fields: MessageFields, body: Uint8Array): string | null {
  const session = headers.get("x-claude-code-session-id")?.trim() ?? "";
  if (session !== "" && session.length <= SESSION_MAX_CHARS) return session;
  return fields.userSession ?? conversationOf(body, fields.opening);
}

function ended(outcome: Outcome): Ending {
  return { outcome, reading: emptyReading() };
}
