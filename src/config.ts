import { type AccessConfig, readAccessConfig } from "./admin/access-config.ts";
import { parsePasswordHash } from "./admin/password.ts";
import type { ForwardProxy } from "./egress/forward-proxies.ts";
import type { LedgerRetention } from "./ledger/retention.ts";
import { isTimeZone } from "./ledger/time-zone.ts";
import { isSecureUrl, isThisMachine, SECURE_URL_WORDS } from "./own-network.ts";

/** Shortest accepted secret, in characters: 32 characters of hex still carry 128 bits. */
const MIN_SECRET_CHARS = 32;

/** Clients try again by themselves, so the relay's own tries multiply with theirs. */
const MAX_ACCOUNTS_A_REQUEST = 3;

/** Every query asks each shard, so more than a few would make all of them slower. */
const MAX_LEDGER_SHARDS = 32;

/** The bindings that configuration is read from. Tests and scripts hand over plain objects. */
export type ConfigSource = {
  readonly [name in ConfigName]?: string | undefined;
};

/** Every name that configures the relay, as vars or as secrets. */
export const CONFIG_NAMES = [
  "ANTHROPIC_API_URL",
  "OAUTH_AUTHORIZE_URL",
  "OAUTH_TOKEN_URL",
  "OAUTH_CLIENT_ID",
  "OAUTH_REDIRECT_URI",
  "OAUTH_SCOPES",
  "KEY_STORE",
  "FORWARD_PROXY_URL",
  "FORWARD_PROXY_SECRET",
  "EXIT_ADDRESS_URL",
  "RATE_LIMIT_HEADERS",
  "NEAR_LIMIT_PERCENT",
  "FAILOVER_MAX_ACCOUNTS",
  "FAILOVER_BUDGET_SECONDS",
  "CLIENT_ADDRESS_HEADER",
  "ACCESS_TEAM_DOMAIN",
  "ACCESS_AUDIENCE",
  "ACCESS_ADMINS",
  "ACCESS_VIEWERS",
  "LEDGER_SHARDS",
  "LEDGER_RECENT_REQUESTS",
  "LEDGER_RECENT_DAYS",
  "LEDGER_HOURLY_DAYS",
  "LEDGER_DAILY_DAYS",
  "PANEL_URL",
  "SUMMARY_HOUR",
  "SUMMARY_TIME_ZONE",
  "LOCAL_WEBHOOKS",
  "LOG_LEVEL",
  "JWT_SECRET",
  "ENCRYPTION_KEY",
  "ENCRYPTION_KEY_PREVIOUS",
  "UPSTASH_REDIS_REST_URL",
  "UPSTASH_REDIS_REST_TOKEN",
  "ADMIN_USERNAME",
  "ADMIN_PASSWORD_HASH",
  "METRICS_TOKEN",
  "IMPORTED_KEY_PEPPER",
] as const;

export type ConfigName = (typeof CONFIG_NAMES)[number];

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface OAuthConfig {
  authorizeUrl: string;
  tokenUrl: string;
  clientId: string;
  redirectUri: string;
  /** Space separated, as they go into the authorization URL. */
  scopes: string;
}

export interface RelayConfig {
  /** Origin and optional path prefix, without a trailing slash. */
  anthropicApiUrl: string;
  oauth: OAuthConfig;
  /** Where relay keys are kept. */
  keyStore: { kind: "kv" } | { kind: "upstash"; url: string; token: string };
  /** None: accounts with a proxy of their own cannot serve. */
  forwardProxies: ForwardProxy[];
  forwardProxySecret: string;
  /** Answers with the address that it was asked from, as text; empty: none is asked. */
  exitAddressUrl: string;
  stripRateLimitHeaders: boolean;
  /** An account with a window used to this fraction takes no new sessions while others can. */
  nearLimit: number;
  failover: { maxAccounts: number; budgetMs: number };
  /** The header in which a proxy in front tells a client's address; empty: none can be believed. */
  clientAddressHeader: string;
  /** Null: Cloudflare Access is not in use, and its header says nothing. */
  access: AccessConfig | null;
  ledger: { shards: number } & LedgerRetention;
  alerts: {
    /** Of the panel; null: not known. */
    panelUrl: string | null;
    summaryTime: { hour: number; timeZone: string };
    /** Webhooks may lead to this machine, also over http. */
    localWebhooks: boolean;
  };
  logLevel: LogLevel;
  jwtSecret: string;
  encryptionKey: string;
  /** Older keys that may still decrypt, newest first. */
  previousEncryptionKeys: string[];
  adminUsername: string;
  adminPasswordHash: string;
  /** What opens the metrics; null: nobody may read them. */
  metricsToken: string | null;
  /** What the system that keys were imported from hashed them with; null: none were. */
  importedKeyPepper: string | null;
}

/** One thing wrong with the configuration: which name, and a sentence that says what mends it. */
export interface ConfigProblem {
  name: ConfigName;
  message: string;
}

const MEND_SECRETS =
  "run `npm run setup` for a relay on this machine, or `npx wrangler secret put` for a deployed one";

/** For secrets that the operator makes, and nobody else. */
const MEND_OWN_SECRET = "take the output of `openssl rand -hex 32`, or leave it out";

/**
 * Reads and checks the whole configuration.
 *
 * @returns the configuration, or every problem found, so that an operator mends all of them at once.
 *   No message ever holds a value.
 */
export function readConfig(
  source: ConfigSource,
): { ok: true; value: RelayConfig } | { ok: false; error: ConfigProblem[] } {
  const problems: ConfigProblem[] = [];
  const text = (name: ConfigName): string => (source[name] ?? "").trim();

  const secret = (
    name: "JWT_SECRET" | "ENCRYPTION_KEY" | "METRICS_TOKEN",
    mend = MEND_SECRETS,
  ): string => {
    const value = text(name);
    if (value === "") {
      problems.push({ name, message: `${name} is missing: ${mend}.` });
    } else if (value.length < MIN_SECRET_CHARS) {
      problems.push({
        name,
        message: `${name} is shorter than ${MIN_SECRET_CHARS} characters: ${mend}.`,
      });
    } else if (new Set(value).size < 8) {
      problems.push({
        name,
        message: `${name} repeats few characters and is weak: ${mend}.`,
      });
    }
    return value;
  };

  const url = (name: ConfigName): string => {
    const value = text(name).replace(/\/+$/, "");
    if (!isSecureUrl(value)) {
      problems.push({ name, message: `${name} must be ${SECURE_URL_WORDS}.` });
    }
    return value;
  };

  const oneOf = <T extends string>(name: ConfigName, choices: readonly T[], fallback: T): T => {
    const value = text(name) || fallback;
    const choice = choices.find((candidate) => candidate === value);
    if (choice === undefined) {
      problems.push({ name, message: `${name} must be one of: ${choices.join(", ")}.` });
    }
    return choice ?? fallback;
  };

  const wholeNumber = (name: ConfigName, fallback: number, least: number, most: number): number => {
    const value = text(name) === "" ? fallback : Number(text(name));
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    const message = `${name} must be a whole number from ${least} to ${most}.`;
    problems.push({ name, message });
    return fallback;
  };

  const adminUsername = text("ADMIN_USERNAME");
  if (adminUsername === "") {
    problems.push({
      name: "ADMIN_USERNAME",
      message: `ADMIN_USERNAME is missing: ${MEND_SECRETS}.`,
    });
  }
  const adminPasswordHash = text("ADMIN_PASSWORD_HASH");
  if (parsePasswordHash(adminPasswordHash) === null) {
    problems.push({
      name: "ADMIN_PASSWORD_HASH",
      message: `ADMIN_PASSWORD_HASH is missing or is no scrypt hash of this relay: ${MEND_SECRETS}.`,
    });
  }
  const forwardProxies = readForwardProxies(text("FORWARD_PROXY_URL"));
  if (forwardProxies === null) {
    problems.push({
      name: "FORWARD_PROXY_URL",
      message:
        "FORWARD_PROXY_URL must be empty, an https:// address without a path, or several as name=https://…,name=https://…; http:// is taken for this machine only, since credentials pass there.",
    });
  }
  const forwardProxySecret = text("FORWARD_PROXY_SECRET");
  if (
    forwardProxies !== null &&
    forwardProxies.length > 0 &&
    forwardProxySecret.length < MIN_SECRET_CHARS
  ) {
    problems.push({
      name: "FORWARD_PROXY_SECRET",
      message: `FORWARD_PROXY_SECRET is missing or shorter than ${MIN_SECRET_CHARS} characters: make one with \`openssl rand -hex 32\`, and give the forward proxy the same.`,
    });
  }
  const exitAddressUrl = text("EXIT_ADDRESS_URL");
  if (exitAddressUrl !== "" && !isHttpUrl(exitAddressUrl)) {
    problems.push({
      name: "EXIT_ADDRESS_URL",
      message: "EXIT_ADDRESS_URL must be an http(s) URL, or empty.",
    });
  }
  const panelUrl = text("PANEL_URL");
  if (panelUrl !== "" && !isHttpUrl(panelUrl)) {
    problems.push({ name: "PANEL_URL", message: "PANEL_URL must be an http(s) URL, or empty." });
  }
  const timeZone = text("SUMMARY_TIME_ZONE") || "UTC";
  if (!isTimeZone(timeZone)) {
    problems.push({
      name: "SUMMARY_TIME_ZONE",
      message: "SUMMARY_TIME_ZONE must be a time zone such as Europe/Berlin or UTC.",
    });
  }
  const clientId = text("OAUTH_CLIENT_ID");
  if (clientId === "") {
    problems.push({
      name: "OAUTH_CLIENT_ID",
      message: "OAUTH_CLIENT_ID is empty: see wrangler.toml.",
    });
  }
  const upstash = { url: text("UPSTASH_REDIS_REST_URL"), token: text("UPSTASH_REDIS_REST_TOKEN") };
  const keyStore = oneOf("KEY_STORE", ["kv", "upstash"], "kv");
  if (keyStore === "upstash") {
    if (!isSecureUrl(upstash.url)) {
      problems.push({
        name: "UPSTASH_REDIS_REST_URL",
        message: `UPSTASH_REDIS_REST_URL, the REST address of an Upstash Redis, must be ${SECURE_URL_WORDS}.`,
      });
    }
    if (upstash.token === "") {
      problems.push({
        name: "UPSTASH_REDIS_REST_TOKEN",
        message: "UPSTASH_REDIS_REST_TOKEN is missing: KEY_STORE is upstash.",
      });
    }
  }
  const previousEncryptionKeys = text("ENCRYPTION_KEY_PREVIOUS")
    .split(",")
    .map((key) => key.trim())
    .filter((key) => key !== "");
  if (previousEncryptionKeys.some((key) => key.length < MIN_SECRET_CHARS)) {
    problems.push({
      name: "ENCRYPTION_KEY_PREVIOUS",
      message: `ENCRYPTION_KEY_PREVIOUS holds a key of under ${MIN_SECRET_CHARS} characters: put whole old keys there, separated by commas.`,
    });
  }

  const config: RelayConfig = {
    anthropicApiUrl: url("ANTHROPIC_API_URL"),
    oauth: {
      authorizeUrl: url("OAUTH_AUTHORIZE_URL"),
      tokenUrl: url("OAUTH_TOKEN_URL"),
      clientId,
      redirectUri: url("OAUTH_REDIRECT_URI"),
      scopes: text("OAUTH_SCOPES"),
    },
    keyStore: keyStore === "kv" ? { kind: "kv" } : { kind: "upstash", ...upstash },
    forwardProxies: forwardProxies ?? [],
    forwardProxySecret,
    exitAddressUrl,
    stripRateLimitHeaders: oneOf("RATE_LIMIT_HEADERS", ["pass", "strip"], "pass") === "strip",
    nearLimit: wholeNumber("NEAR_LIMIT_PERCENT", 90, 1, 100) / 100,
    failover: {
      maxAccounts: wholeNumber(
        "FAILOVER_MAX_ACCOUNTS",
        MAX_ACCOUNTS_A_REQUEST,
        1,
        MAX_ACCOUNTS_A_REQUEST,
      ),
      budgetMs: wholeNumber("FAILOVER_BUDGET_SECONDS", 30, 1, 300) * 1_000,
    },
    clientAddressHeader: text("CLIENT_ADDRESS_HEADER").toLowerCase(),
    access: readAccessConfig(text, isSafeOrigin, problems),
    ledger: {
      shards: wholeNumber("LEDGER_SHARDS", 1, 1, MAX_LEDGER_SHARDS),
      recentRequests: wholeNumber("LEDGER_RECENT_REQUESTS", 100_000, 100, 1_000_000),
      recentDays: wholeNumber("LEDGER_RECENT_DAYS", 30, 1, 400),
      hourlyDays: wholeNumber("LEDGER_HOURLY_DAYS", 100, 2, 400),
      dailyDays: wholeNumber("LEDGER_DAILY_DAYS", 800, 2, 4_000),
    },
    alerts: {
      panelUrl: panelUrl === "" ? null : panelUrl,
      summaryTime: { hour: wholeNumber("SUMMARY_HOUR", 8, 0, 23), timeZone },
      localWebhooks: oneOf("LOCAL_WEBHOOKS", ["refuse", "allow"], "refuse") === "allow",
    },
    logLevel: oneOf("LOG_LEVEL", ["debug", "info", "warn", "error"], "info"),
    jwtSecret: secret("JWT_SECRET"),
    encryptionKey: secret("ENCRYPTION_KEY"),
    previousEncryptionKeys,
    adminUsername,
    adminPasswordHash,
    metricsToken: text("METRICS_TOKEN") === "" ? null : secret("METRICS_TOKEN", MEND_OWN_SECRET),
    importedKeyPepper: text("IMPORTED_KEY_PEPPER") || null,
  };
  return problems.length === 0 ? { ok: true, value: config } : { ok: false, error: problems };
}

function isHttpUrl(value: string): boolean {
  const parsed = URL.parse(value);
  return parsed !== null && (parsed.protocol === "https:" || parsed.protocol === "http:");
}

/** The name of a forward proxy that was given without one. */
const ONLY_NAME = "default";

/** @returns the forward proxies of `url` or `name=url,name=url`, or null where that is mistaken */
function readForwardProxies(text: string): ForwardProxy[] | null {
  if (text === "") return [];
  const entries = text.split(",").map((entry) => {
    const [, name = ONLY_NAME, address = ""] =
      /^(?:([a-z0-9][a-z0-9-]{0,31})=)?(.*)$/.exec(entry.trim()) ?? [];
    const url = address.replace(/\/+$/, "");
    return { name, url };
  });
  const names = new Set(entries.map(({ name }) => name));
  const isFine = names.size === entries.length && entries.every(({ url }) => isSafeOrigin(url));
  return isFine ? entries : null;
}

function isSafeOrigin(value: string): boolean {
  const url = URL.parse(value);
  if (url === null || url.origin !== value) return false;
  return url.protocol === "https:" || (url.protocol === "http:" && isThisMachine(url.hostname));
}
