import * as v from "valibot";
import { type AccountSettings, LOCATION_HINTS } from "../accounts/roster-row.ts";
import { fail, ok, type Result } from "../result.ts";
import type { AdminContext } from "./envelope.ts";
import { descriptionSchema, nameSchema, tagsSchema } from "./key-fields.ts";

/** Larger than any admin body. */
const MAX_BODY_BYTES = 256 * 1024;
const MAX_NAMED_PROBLEMS = 3;
const SECRET_MAX_CHARS = 8_000;
const PASTE_MAX_CHARS = 4_000;

const idSchema = v.pipe(v.string(), v.uuid());
/** What goes into a header: visible ASCII, nothing else. */
const secretSchema = v.pipe(
  v.string(),
  v.trim(),
  v.nonEmpty("must not be empty"),
  v.maxLength(SECRET_MAX_CHARS),
  v.regex(/^[\x21-\x7e]+$/, "holds a character that no credential has; was it copied whole?"),
);

/** What SOCKS5 has room for (RFC 1929). */
const PROXY_LOGIN_MAX_BYTES = 255;
const proxyLoginSchema = v.pipe(
  v.string(),
  v.maxBytes(PROXY_LOGIN_MAX_BYTES, `is longer than ${PROXY_LOGIN_MAX_BYTES} bytes`),
);

const proxySchema = v.strictObject({
  type: v.picklist(["socks5", "http", "https"]),
  host: v.pipe(v.string(), v.trim(), v.regex(/^[A-Za-z0-9.:[\]-]{1,253}$/, "is no host name")),
  port: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)),
  username: v.optional(proxyLoginSchema),
  password: v.optional(proxyLoginSchema),
  via: v.optional(
    v.pipe(v.string(), v.regex(/^[a-z0-9-]{1,32}$/, "is no name of a forward proxy")),
  ),
});

export const loginSchema = v.strictObject({
  username: v.pipe(v.string(), v.maxLength(200)),
  password: v.pipe(v.string(), v.maxLength(1_000)),
});

/** Larger than what any account is given at once. */
const MAX_CONCURRENCY = 10_000;

const wholeNumberSchema = (least: number, most: number) =>
  v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most));

/** What may be set of an account, when it is made and later. */
const accountSettings = {
  name: nameSchema,
  description: descriptionSchema,
  tags: tagsSchema,
  priority: wholeNumberSchema(1, 100),
  weight: wholeNumberSchema(1, 100),
  enabled: v.boolean(),
  schedulable: v.boolean(),
  maxConcurrency: v.nullable(wholeNumberSchema(1, MAX_CONCURRENCY)),
  expiresAt: v.nullable(
    v.pipe(v.string(), v.isoTimestamp("is no time such as 2027-01-31T12:00:00Z")),
  ),
};

const locationHintSchema = v.optional(v.nullable(v.picklist(LOCATION_HINTS)), null);

const credentialsFileSchema = v.looseObject({
  accessToken: secretSchema,
  refreshToken: v.nullish(secretSchema),
  expiresAt: v.nullish(v.pipe(v.number(), v.minValue(0))),
  scopes: v.optional(v.array(v.string()), []),
});

export const credentialFields = {
  apiKey: v.optional(secretSchema),
  setupToken: v.optional(secretSchema),
  claudeAiOauth: v.optional(credentialsFileSchema),
};

export const createAccountSchema = v.strictObject({
  ...v.partial(v.object(accountSettings)).entries,
  name: nameSchema,
  ...credentialFields,
  locationHint: locationHintSchema,
  proxy: v.optional(v.nullable(proxySchema), null),
  sessionId: v.optional(idSchema),
  /** The id that it has elsewhere, such as in an archive. */
  id: v.optional(v.pipe(idSchema, v.toLowerCase())),
});

export const updateAccountSchema = v.strictObject({
  ...v.partial(v.object(accountSettings)).entries,
  ...credentialFields,
  proxy: v.optional(v.nullable(proxySchema)),
});

/** The settings that a body gives, in the account's own terms. */
export function settingsOf(
  body: Partial<v.InferOutput<typeof updateAccountSchema>>,
): Partial<AccountSettings> {
  const { name, description, tags, priority, weight, enabled, schedulable, maxConcurrency } = body;
  const given = { name, description, tags, priority, weight, enabled, schedulable, maxConcurrency };
  const { expiresAt } = body;
  const expiry =
    expiresAt === undefined
      ? {}
      : { expiresAtMs: expiresAt === null ? null : Date.parse(expiresAt) };
  const settings = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...(Object.fromEntries(settings) as Partial<AccountSettings>), ...expiry };
}

export const authUrlSchema = v.strictObject({
  proxy: v.optional(v.nullable(proxySchema), null),
  locationHint: locationHintSchema,
  /** An existing account that logs in again. */
  accountId: v.optional(idSchema),
});

export const exchangeCodeSchema = v.pipe(
  v.strictObject({
    sessionId: idSchema,
    authorizationCode: v.optional(v.pipe(v.string(), v.maxLength(PASTE_MAX_CHARS))),
    callbackUrl: v.optional(v.pipe(v.string(), v.maxLength(PASTE_MAX_CHARS))),
  }),
  v.check(
    ({ authorizationCode, callbackUrl }) =>
      (authorizationCode === undefined) !== (callbackUrl === undefined),
    "needs either authorizationCode or callbackUrl",
  ),
);

/** How long a replaced secret may go on working. */
const GRACE_MAX_HOURS = 30 * 24;

export const rotateKeySchema = v.strictObject({
  graceHours: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(GRACE_MAX_HOURS)), 0),
});

export type BodyError = { code: "bad_request" | "body_too_large"; message: string };

/** Reads and checks a JSON body. @returns a message that names each wrong field, never its value */
export async function readBody<Schema extends v.GenericSchema>(
  c: AdminContext,
  schema: Schema,
): Promise<Result<v.InferOutput<Schema>, BodyError>> {
  if (Number(c.req.header("content-length") ?? 0) > MAX_BODY_BYTES) return fail(TOO_LARGE);
  const bytes = await c.req.arrayBuffer();
  if (bytes.byteLength > MAX_BODY_BYTES) return fail(TOO_LARGE);
  let body: unknown;
  try {
    body = bytes.byteLength === 0 ? {} : JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return fail({ code: "bad_request", message: "The body is not JSON." });
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    return fail({ code: "bad_request", message: "The body is not a JSON object." });
  }
  const checked = check(schema, body, "body");
  return checked.ok ? checked : fail({ code: "bad_request", message: checked.error });
}

/** Checks the query string. @returns a message that names each wrong field, never its value */
export function readQuery<Schema extends v.GenericSchema>(
  c: AdminContext,
  schema: Schema,
): Result<v.InferOutput<Schema>, string> {
  return check(schema, c.req.query(), "query");
}

function check<Schema extends v.GenericSchema>(
  schema: Schema,
  input: unknown,
  whole: string,
): Result<v.InferOutput<Schema>, string> {
  const parsed = v.safeParse(schema, input);
  if (parsed.success) return ok(parsed.output);
  const problems = parsed.issues
    .slice(0, MAX_NAMED_PROBLEMS)
    .map((issue) => describe(issue, whole));
  return fail(`${problems.join("; ")}.`);
}

const TOO_LARGE: BodyError = {
  code: "body_too_large",
  message: `The body is larger than ${MAX_BODY_BYTES / 1024} KiB.`,
};

function describe(issue: v.BaseIssue<unknown>, whole: string): string {
  const path = v.getDotPath(issue) ?? whole;
  if (issue.type === "strict_object") {
    return issue.expected === "never" ? `${path} is not a field here` : `${path} is missing`;
  }
  // The library's own messages quote what was received: that may be a secret.
  const own = issue.message.startsWith("Invalid");
  if (!own) return `${path} ${issue.message}`;
  const requirement = issue.requirement instanceof RegExp ? undefined : issue.requirement;
  switch (issue.type) {
    case "max_length":
      return `${path} must have at most ${requirement} characters`;
    case "min_value":
      return `${path} must be at least ${requirement}`;
    case "max_value":
      return `${path} must be at most ${requirement}`;
    default:
      return `${path} must be ${issue.expected ?? `a valid ${issue.type.replaceAll("_", " ")}`}`;
  }
}
