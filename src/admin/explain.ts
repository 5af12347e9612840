import { Hono } from "hono";
import { type ChoiceInput, choose } from "../accounts/choose.ts";
import { Pool } from "../accounts/pool.ts";
import { allAccounts } from "../accounts/roster.ts";
import { type RosterRow, shareOfReturn } from "../accounts/roster-row.ts";
import { callObject } from "../durable-call.ts";
import { SESSION_MAX_CHARS } from "../relay/message-fields.ts";
import { modelFamily } from "../upstream/model-names.ts";
import { type AdminEnv, failure, success } from "./envelope.ts";
import { standingInWords } from "./standing.ts";

const MODEL_MAX_CHARS = 200;

/** How the account that would be chosen comes to be it. */
const CHOSEN_IN_WORDS = {
  thread: "It made the message that this one continues.",
  bound: "The key is bound to it.",
  pin: "The session is on it, and stays there while it can serve.",
  hash: "The session is new; the hash of key and session falls on it.",
  headroom: "It has the most headroom.",
} as const;

/** `GET /admin/explain?keyId&model&session`: what a request would meet now. Nothing is sent or pinned. */
export const explainRoutes = new Hono<AdminEnv>().get("/", async (c) => {
  const services = c.get("services");
  const keyId = c.req.query("keyId") ?? "";
  const model = c.req.query("model") ?? "";
  const session = c.req.query("session") ?? null;
  if (keyId === "" || model === "" || model.length > MODEL_MAX_CHARS) {
    return failure(c, "bad_request", "Give keyId and model, and session where there is one.");
  }
  if (session !== null && session.length > SESSION_MAX_CHARS) {
    return failure(c, "bad_request", `A session has at most ${SESSION_MAX_CHARS} characters.`);
  }
  const stored = await services.keyStore.findById(keyId);
  if (stored === null) return failure(c, "not_found", "There is no key with this id.");
  const [rows, pinnedTo] = await Promise.all([
    allAccounts(services.fleet),
    session === null
      ? null
      : callObject(
          () => services.meter(keyId),
          (meter) => meter.pinOf(session),
        ),
  ]);
  const { nearLimit } = services.config;
  const { canReachProxies } = services.egress;
  const pool = new Pool(rows, { canReachProxies, nearLimit });
  const input: ChoiceInput = {
    pool,
    load: services.load,
    family: modelFamily(model),
    keyId,
    session,
    pinnedTo,
    onlyAccountId: null,
    boundTo: stored.record.boundTo,
    exclude: new Set(),
    nowMs: Date.now(),
  };
  const choice = choose(input);
  const chosen = choice.ok
    ? {
        id: choice.row.id,
        name: choice.row.name,
        by: choice.by,
        because: CHOSEN_IN_WORDS[choice.by],
      }
    : null;
  return success(c, {
    keyId,
    model,
    family: input.family,
    session,
    pinnedTo,
    boundTo: stored.record.boundTo,
    chosen,
    accounts: pool.rows.map((row) => explained(row, input, chosen?.id ?? null)),
  });
});

/** One account's standing for this request, in the order in which `choose` looks at it. */
function explained(row: RosterRow, input: ChoiceInput, chosenId: string | null) {
  const { pool, load, family, nowMs, boundTo } = input;
  const isAllowed =
    boundTo === null ||
    (boundTo.kind === "account" ? row.id === boundTo.value : row.tags.includes(boundTo.value));
  const standing = pool.standing(row, family, nowMs);
  const isNearLimit = pool.isNearLimit(row, family, nowMs);
  const words: string[] = [];
  if (!isAllowed) words.push("This key may not use it.");
  if (standing.kind !== "ready") words.push(standingInWords(standing));
  if (!row.schedulable) words.push("It takes no new work; sessions that are on it stay.");
  if (isNearLimit) words.push("It is near a limit: new sessions go elsewhere while others can.");
  const share = shareOfReturn(row, family, nowMs);
  if (share < 1) {
    const percent = Math.round(share * 100);
    words.push(`It comes back from a rest: it takes ${percent}% of its usual new work.`);
  }
  if (!load.mayEnter(row, nowMs)) words.push(standingInWords({ kind: "on_trial" }));
  return {
    id: row.id,
    name: row.name,
    isChosen: row.id === chosenId,
    standing: isAllowed ? standing.kind : "not_allowed",
    until: standing.kind === "cooling_down" ? new Date(standing.untilMs).toISOString() : null,
    isNearLimit,
    priority: row.priority,
    weight: row.weight,
    inFlightHere: load.inFlight(row.id),
    because: words.length > 0 ? words.join(" ") : readyWords(row.id === chosenId),
  };
}

function readyWords(isChosen: boolean): string {
  return isChosen ? "It would be chosen." : "It could serve; another one comes first.";
}
