import { choose } from "../accounts/choose.ts";
import { runAfter } from "../background.ts";
import { type ModelRules, mayUse } from "../keys/key-record.ts";
import { upstreamHeaders } from "../upstream/headers.ts";
import { builtInModels, type ModelEntry, readModelList } from "../upstream/models.ts";
import type { Services } from "./services.ts";

/** Clients give up after 3 s, so the relay does before them. */
const UPSTREAM_TIMEOUT_MS = 1_500;
const FRESH_MS = 10 * 60_000;
/** After a failure the built-in list serves, and upstream is asked again soon. */
const RETRY_MS = 30_000;
/** The most that upstream gives on one page. */
const PAGE_LIMIT = 1_000;
const DEFAULT_LIMIT = 20;
const ANTHROPIC_VERSION = "2023-06-01";

interface CachedModels {
  models: readonly ModelEntry[];
  askAgainAtMs: number;
}

const cached = new WeakMap<Services, CachedModels>();

/** `GET /v1/models`, in Anthropic's list shape and with its paging. */
export async function listModels(
  request: Request,
  services: Services,
  ctx: ExecutionContext,
  rules: ModelRules,
): Promise<Response> {
  const models = await usableModels(services, ctx, rules);
  const query = new URL(request.url).searchParams;
  const limit = Math.min(
    PAGE_LIMIT,
    Math.max(1, Math.trunc(Number(query.get("limit"))) || DEFAULT_LIMIT),
  );
  const afterId = query.get("after_id");
  const beforeId = query.get("before_id");
  let start = 0;
  let end = models.length;
  if (afterId !== null) start = models.findIndex(({ id }) => id === afterId) + 1;
  if (beforeId !== null) {
    const before = models.findIndex(({ id }) => id === beforeId);
    end = before === -1 ? models.length : before;
    start = Math.max(start, end - limit);
  }
  const data = models.slice(start, Math.min(end, start + limit));
  const more = beforeId === null ? start + data.length < models.length : start > 0;
  return Response.json({
    data,
    has_more: more,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
  });
}

/** `GET /v1/models/:id`. @returns null where no such model is known */
export async function findModel(
  id: string,
  services: Services,
  ctx: ExecutionContext,
  rules: ModelRules,
): Promise<Response | null> {
  const models = await usableModels(services, ctx, rules);
  // Upstream resolves names without a date to the dated model.
  const model =
    models.find((entry) => entry.id === id) ??
    models.find((entry) => entry.id.startsWith(`${id}-20`));
  return model === undefined ? null : Response.json(model);
}

/** The models that exist and that the key may use. */
async function usableModels(
  services: Services,
  ctx: ExecutionContext,
  rules: ModelRules,
): Promise<readonly ModelEntry[]> {
  const models = await knownModels(services, ctx);
  return models.filter(({ id }) => mayUse(rules, id));
}

async function knownModels(
  services: Services,
  ctx: ExecutionContext,
): Promise<readonly ModelEntry[]> {
  const known = cached.get(services);
  if (known !== undefined && known.askAgainAtMs > Date.now()) return known.models;
  const asked = await askUpstream(services, ctx).catch(() => null);
  const models = asked ?? known?.models ?? builtInModels;
  cached.set(services, {
    models,
    askAgainAtMs: Date.now() + (asked === null ? RETRY_MS : FRESH_MS),
  });
  return models;
}

async function askUpstream(
  services: Services,
  ctx: ExecutionContext,
): Promise<readonly ModelEntry[] | null> {
  const pool = await services.roster.pool((work) =>
    runAfter(ctx, services.log, "read roster", work),
  );
  if (pool === null) return null;
  const choice = choose({
    pool,
    load: services.load,
    family: "other",
    keyId: "",
    session: null,
    pinnedTo: null,
    onlyAccountId: null,
    boundTo: null,
    exclude: new Set(),
    nowMs: Date.now(),
  });
  if (!choice.ok) return null;
  const credential = await services.credentials.acquire(choice.row.id);
  if (!credential.ok) return null;
  // The list is kept for everyone, so nobody's own headers go into asking for it.
  const headers = upstreamHeaders(new Headers(), credential.value);
  headers.set("anthropic-version", ANTHROPIC_VERSION);
  const url = `${services.config.anthropicApiUrl}/v1/models?limit=${PAGE_LIMIT}`;
  const egress = services.egress.of(choice.row.id, credential.value.proxy);
  const answer = await egress.fetch(url, {
    headers,
    redirect: "manual",
    signal: AbortSignal.timeout(UPSTREAM_TIMEOUT_MS),
  });
  return answer.ok ? readModelList(await answer.json()) : null;
}
