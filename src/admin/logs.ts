import { Hono } from "hono";
import * as v from "valibot";
import {
  EVENT_LOG_NAME,
  type EventFilter,
  type LiveRequest,
} from "../../durable-objects/event-log/contract.ts";
import { callObject } from "../durable-call.ts";
import { CATEGORIES, LEVELS } from "../events/log-event.ts";
import { eventLog } from "./audit.ts";
import { type AdminEnv, failure, success } from "./envelope.ts";
import { readQuery } from "./requests.ts";
import { isForWebSocket } from "./session.ts";

const PAGE = 100;
const PAGE_MAX = 500;
const REQUEST_ID_MAX_CHARS = 100;
const SWITCHING_PROTOCOLS = 101;

const eventIdSchema = v.pipe(
  v.string(),
  v.regex(/^\d{1,15}$/, "must be the id of an event"),
  v.transform(Number),
);

const filterFields = {
  level: v.optional(v.picklist(LEVELS, `must be one of: ${LEVELS.join(", ")}`), "debug"),
  category: v.optional(
    v.pipe(
      v.string(),
      v.transform((text) => text.split(",")),
      v.array(v.picklist(CATEGORIES, `must be of: ${CATEGORIES.join(", ")}`)),
    ),
  ),
  requestId: v.optional(v.pipe(v.string(), v.maxLength(REQUEST_ID_MAX_CHARS))),
};

const pageSchema = v.strictObject({
  ...filterFields,
  before: v.optional(eventIdSchema),
  limit: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^\d{1,6}$/, "must be a whole number"),
      v.transform(Number),
      v.minValue(1),
      v.maxValue(PAGE_MAX),
    ),
    String(PAGE),
  ),
});

const liveSchema = v.strictObject({ ...filterFields, after: v.optional(eventIdSchema) });

/** The event log: a page of it, and what comes, as it comes. */
export const logRoutes = new Hono<AdminEnv>()
  .get("/", async (c) => {
    const query = readQuery(c, pageSchema);
    if (!query.ok) return failure(c, "bad_request", query.error);
    const { before = null, limit } = query.value;
    const page = await callObject(
      () => eventLog(c.env),
      (log) => log.events(filterOf(query.value), before, limit),
    );
    return success(c, page);
  })

  .get("/live", async (c) => {
    if (!isForWebSocket(c)) {
      c.header("upgrade", "websocket");
      const message =
        "This route is a WebSocket: connect with one. A page of the log: GET /admin/logs.";
      return failure(c, "upgrade_required", message);
    }
    const query = readQuery(c, liveSchema);
    if (!query.ok) return failure(c, "bad_request", query.error);
    const { sessionId, expiresAtMs } = c.get("admin");
    const request: LiveRequest = {
      filter: filterOf(query.value),
      after: query.value.after ?? null,
      sessionId,
      sessionEndsAtMs: expiresAtMs,
    };
    const address = new URL("https://event-log/live");
    address.searchParams.set("request", JSON.stringify(request));
    const stub = c.env.EVENT_LOG.getByName(EVENT_LOG_NAME);
    const answer = await stub.fetch(address, { headers: { upgrade: "websocket" } });
    if (answer.status === SWITCHING_PROTOCOLS) return answer;
    const message = "Too many live logs are open. Close one that is not needed, then try again.";
    return failure(c, "unavailable", message);
  });

function filterOf({
  level,
  category,
  requestId,
}: v.InferOutput<v.ObjectSchema<typeof filterFields, undefined>>): EventFilter {
  return { level, categories: category ?? null, requestId: requestId ?? null };
}
