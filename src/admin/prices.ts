import { Hono } from "hono";
import * as v from "valibot";
import { MAX_PRICES } from "../../durable-objects/fleet/price-table.ts";
import { callObject } from "../durable-call.ts";
import { canonicalModel } from "../upstream/model-names.ts";
import { type OperatorPrice, parseOperatorPrice } from "../upstream/price-list.ts";
import { defaultPrice, priceTable } from "../upstream/prices.ts";
import { audited } from "./audit.ts";
import { type AdminContext, type AdminEnv, failure, success } from "./envelope.ts";
import { offScale, priceOf, priceSchema, shownPrice, wherePriceSchema } from "./price-fields.ts";
import { readBody, readQuery } from "./requests.ts";

const removeQuery = v.strictObject(wherePriceSchema);

/** `/admin/prices`: the operator's prices, which count in place of the built-in ones. */
export const priceRoutes = new Hono<AdminEnv>()
  .get("/", async (c) =>
    success(c, {
      prices: (await operatorPrices(c)).map(shownPrice),
      listed: priceTable.map(shownPrice),
      standIn: shownPrice(defaultPrice),
    }),
  )

  .put("/", async (c) => {
    const body = await readBody(c, priceSchema);
    if (!body.ok) return failure(c, body.error.code, body.error.message);
    const { force } = body.value;
    const price = priceOf(body.value, Date.now());
    const { modelId, effectiveFrom } = price;
    if (modelId === defaultPrice.modelId) {
      const message = "model must be a model's name: the stand-in for unknown models is fixed.";
      return failure(c, "bad_request", message);
    }
    const strange = offScale(price);
    if (strange !== null && !force) return failure(c, "bad_request", strange);
    const before = find(await operatorPrices(c), modelId, effectiveFrom);
    const detail = {
      before: before === null ? null : shownPrice(before),
      after: shownPrice(price),
      forced: strange !== null,
    };
    return audited(c, "price.set", `${modelId}@${effectiveFrom}`, detail, async () => {
      const kept = await callObject(c.get("services").fleet, (fleet) => fleet.setPrice(price));
      c.get("services").roster.forget();
      if (kept !== null) return { done: true, result: success(c, shownPrice(kept)) };
      const message = `There are ${MAX_PRICES} prices already, which is the most. Remove one first.`;
      return { done: false, result: failure(c, "conflict", message) };
    });
  })

  .delete("/", async (c) => {
    const query = readQuery(c, removeQuery);
    if (!query.ok) return failure(c, "bad_request", query.error);
    const { effectiveFrom } = query.value;
    const modelId = canonicalModel(query.value.model);
    const before = find(await operatorPrices(c), modelId, effectiveFrom);
    if (before === null) return noSuchPrice(c);
    const detail = { before: shownPrice(before), after: null };
    return audited(c, "price.remove", `${modelId}@${effectiveFrom}`, detail, async () => {
      const removed = await callObject(c.get("services").fleet, (fleet) =>
        fleet.removePrice(modelId, effectiveFrom),
      );
      c.get("services").roster.forget();
      return removed
        ? { done: true, result: success(c, { removed: true }) }
        : { done: false, result: noSuchPrice(c) };
    });
  });

async function operatorPrices(c: AdminContext): Promise<OperatorPrice[]> {
  const rows = await callObject(c.get("services").fleet, (fleet) => fleet.prices());
  return rows.map(parseOperatorPrice);
}

function find(
  prices: readonly OperatorPrice[],
  modelId: string,
  effectiveFrom: string,
): OperatorPrice | null {
  const isIt = (price: OperatorPrice) =>
    price.modelId === modelId && price.effectiveFrom === effectiveFrom;
  return prices.find(isIt) ?? null;
}

function noSuchPrice(c: AdminContext): Response {
  const message =
    "No price was set for this model from this day. GET /admin/prices lists those that were; built-in ones cannot be removed.";
  return failure(c, "not_found", message);
}
