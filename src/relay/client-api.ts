import { describeError } from "../background.ts";
import { callObject } from "../durable-call.ts";
import { type KeyRecord, policyOf } from "../keys/key-record.ts";
import { newRequestId } from "../request-id.ts";
import type { Result } from "../result.ts";
import { identify, type ShownKey } from "./identify.ts";
import { keyInfoAnswer, usageAnswer } from "./key-report.ts";
import { findModel, listModels } from "./models.ts";
import { type Refusal, refuse } from "./refusal.ts";
import { relay } from "./relay.ts";
import type { Services } from "./services.ts";

const MODEL_PATH = /^\/v1\/models\/([^/]+)$/;

/** A path as clients of every habit write it, in the one form that routes know. */
export function canonicalPath(pathname: string): string {
  const single = pathname.replace(/\/{2,}/g, "/");
  const bare = single.replace(/^\/(?:api|claude)(?=\/v1\/)/, "");
  return bare.length > 1 ? bare.replace(/\/$/, "") : bare;
}

/** The door for API clients, who hold relay keys. `path` is canonical. */
export async function clientApi(
  request: Request,
  path: string,
  services: Result<Services, string[]>,
  ctx: ExecutionContext,
): Promise<Response> {
  if (!services.ok) return refused({ kind: "not_configured", problems: services.error }, null);
  switch (path) {
    case "/v1/messages":
    case "/v1/messages/count_tokens": {
      if (request.method !== "POST") {
        return refused({ kind: "method_not_allowed", allow: "POST" }, services.value);
      }
      const { search } = new URL(request.url);
      return relay(request, services.value, ctx, path + search, path === "/v1/messages");
    }
    case "/v1/models":
      return withKey(request, services.value, "GET", (key) =>
        listModels(request, services.value, ctx, key.models),
      );
    case "/v1/usage":
    case "/v1/key-info":
      return withKey(request, services.value, "GET", (key) => reportKey(path, key, services.value));
  }
  const modelId = MODEL_PATH.exec(path)?.[1];
  if (modelId !== undefined) {
    const id = decoded(modelId);
    return withKey(request, services.value, "GET", async (key) => {
      const model = await findModel(id, services.value, ctx, key.models);
      return model ?? refused({ kind: "model_unknown", model: id.slice(0, 100) }, services.value);
    });
  }
  return refused({ kind: "route_unknown", path: path.slice(0, 100) }, services.value);
}

/** For everything that is not relayed: the key must be good, as its meter knows it. */
async function withKey(
  request: Request,
  services: Services,
  method: string,
  answer: (key: KeyRecord) => Promise<Response>,
): Promise<Response> {
  if (request.method !== method)
    return refused({ kind: "method_not_allowed", allow: method }, services);
  const identified = await identify(request.headers, services);
  if (!identified.ok) return refused(identified.error, services);
  const { record } = identified.value;
  const refusal = await refusalOf(identified.value, services);
  if (refusal !== null) return refused(refusal, services, record.id);
  try {
    return await answer(record);
  } catch (error) {
    services.log("error", "request.failed", { keyId: record.id, error: describeError(error) });
    return refused({ kind: "meter_unavailable" }, services, record.id);
  }
}

async function refusalOf({ record, mark }: ShownKey, services: Services): Promise<Refusal | null> {
  try {
    return await callObject(
      () => services.meter(record.id),
      (meter) => meter.check({ policy: policyOf(record), mark, model: null }),
    );
  } catch {
    return { kind: "meter_unavailable" };
  }
}

async function reportKey(path: string, key: KeyRecord, services: Services): Promise<Response> {
  const usage = await callObject(
    () => services.meter(key.id),
    (meter) => meter.usage(policyOf(key)),
  );
  const report = path === "/v1/usage" ? usageAnswer : keyInfoAnswer;
  return Response.json(report(key, usage, Date.now()), {
    headers: { "cache-control": "no-store" },
  });
}

function refused(refusal: Refusal, services: Services | null, keyId?: string): Response {
  const nowMs = Date.now();
  const requestId = newRequestId(nowMs);
  services?.log("info", "request.refused", { requestId, keyId, reason: refusal.kind });
  return refuse(refusal, requestId, nowMs);
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
