import { Hono } from "hono";
import type { RecentQuery } from "../../durable-objects/usage-ledger/contract.ts";
import { fail, ok, type Result } from "../result.ts";
import { type CsvRow, csvAnswer } from "./csv.ts";
import { type AdminContext, type AdminEnv, failure, success } from "./envelope.ts";
import { askedOf, reader, wantsCsv } from "./usage.ts";
import {
  type Asked,
  REQUESTS_MAX,
  readBefore,
  readFilter,
  readOutcome,
  readRequestsLimit,
} from "./usage-query.ts";
import { REQUEST_HEADS, requestCells, shownLedgerRequest } from "./usage-shapes.ts";

/** `/admin/requests` */
export const ledgerRequestRoutes = new Hono<AdminEnv>()
  .get("/", async (c) => {
    const asked = askedOf(c, "requests");
    if (typeof asked === "string") return failure(c, "bad_request", asked);
    const query = recentQuery(asked);
    if (!query.ok) return failure(c, "bad_request", query.error);
    if (wantsCsv(c)) return csvAnswer(c, "requests", REQUEST_HEADS, pages(c, query.value));
    const requests = await reader(c).recent(query.value);
    const last = requests.at(-1);
    return success(c, {
      requests: requests.map(shownLedgerRequest),
      /** For the next page; null on the last. */
      before: last !== undefined && requests.length === query.value.limit ? last.id : null,
    });
  })

  .get("/:id", async (c) => {
    const asked = askedOf(c, "request");
    if (typeof asked === "string") return failure(c, "bad_request", asked);
    const request = await reader(c).find(c.req.param("id"));
    if (request !== null) return success(c, shownLedgerRequest(request));
    const message =
      "This request is not among the recent ones. It may be running still, be some seconds from being listed, or have been dropped for its age.";
    return failure(c, "not_found", message);
  });

function recentQuery(asked: Asked): Result<RecentQuery, string> {
  const filter = readFilter(asked);
  if (!filter.ok) return filter;
  const outcome = readOutcome(asked);
  if (!outcome.ok) return outcome;
  const before = readBefore(asked);
  if (!before.ok) return before;
  const limit = readRequestsLimit(asked);
  if (!limit.ok) return fail(limit.error);
  return ok({
    ...filter.value,
    outcome: outcome.value,
    before: before.value,
    limit: limit.value,
  });
}

/** All that there are: `limit` is a page's. */
async function* pages(c: AdminContext, query: RecentQuery): AsyncGenerator<CsvRow[]> {
  let { before } = query;
  for (;;) {
    const requests = await reader(c).recent({ ...query, before, limit: REQUESTS_MAX });
    yield requests.map(requestCells);
    const last = requests.at(-1);
    if (last === undefined || requests.length < REQUESTS_MAX) return;
    before = last.id;
  }
}
