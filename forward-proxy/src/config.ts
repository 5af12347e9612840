import { isIP } from "node:net";

/** As for the relay's own secrets: 32 characters of hex still carry 128 bits. */
const MIN_SECRET_CHARS = 32;
const DEFAULT_PORT = 8790;
const DEFAULT_METRICS_PORT = 9464;
const DEFAULT_ORIGINS = "https://api.anthropic.com,https://platform.claude.com";
const SECOND_MS = 1_000;
const LEVELS = ["debug", "info", "warn", "error"] as const;

export type LogLevel = (typeof LEVELS)[number];

export interface Config {
  secret: string;
  host: string;
  /** 0: any free one. */
  port: number;
  /** Null: plain HTTP, for something in front that ends TLS. */
  tls: { certFile: string; keyFile: string } | null;
  /** Null: no metrics. */
  metrics: { host: string; port: number } | null;
  upstreamOrigins: ReadonlySet<string>;
  /** Addresses that may be dialled although they are not public. */
  privateAddresses: readonly string[];
  /** To upstream's first byte, from the request's arrival. Cloudflare's edge gives up after 120 s. */
  firstByteTimeoutMs: number;
  /** For each leg of a dial: to the proxy, through it, and the TLS handshake. */
  dialTimeoutMs: number;
  /** Without a byte for so long, an answer in progress is given up. */
  silenceTimeoutMs: number;
  maxPools: number;
  maxSocketsPerPool: number;
  poolIdleMs: number;
  socketIdleMs: number;
  /** After SIGTERM, requests in flight may go on for so long. */
  drainMs: number;
  logLevel: LogLevel;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** @returns the configuration, or every problem with it in words; no message holds a value */
export function readConfig(
  env: Environment,
): { ok: true; value: Config } | { ok: false; error: string[] } {
  const problems: string[] = [];
  const text = (name: string, fallback = ""): string => (env[name] ?? "").trim() || fallback;
  const number = (name: string, fallback: number, least: number, most: number): number => {
    const value = Number(text(name, String(fallback)));
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    problems.push(`${name} must be a whole number from ${least} to ${most}.`);
    return fallback;
  };
  const seconds = (name: string, fallback: number, most: number) =>
    number(name, fallback, 1, most) * SECOND_MS;

  const secret = text("FORWARD_PROXY_SECRET");
  if (secret.length < MIN_SECRET_CHARS) {
    problems.push(
      `FORWARD_PROXY_SECRET is missing or shorter than ${MIN_SECRET_CHARS} characters: make one with \`openssl rand -hex 32\`, and give the relay the same.`,
    );
  }
  const certFile = text("TLS_CERT_FILE");
  const keyFile = text("TLS_KEY_FILE");
  if ((certFile === "") !== (keyFile === "")) {
    problems.push("Give both TLS_CERT_FILE and TLS_KEY_FILE, or neither.");
  }
  const privateAddresses = listOf(text("PRIVATE_ADDRESSES_ALLOWED"));
  if (privateAddresses.some((address) => isIP(address) === 0)) {
    problems.push("PRIVATE_ADDRESSES_ALLOWED must hold IP addresses, separated by commas.");
  }
  const origins = listOf(text("UPSTREAM_ORIGINS", DEFAULT_ORIGINS));
  if (origins.some((origin) => !isUpstreamOrigin(origin, privateAddresses))) {
    problems.push(
      "UPSTREAM_ORIGINS must hold https:// origins without a path, such as https://api.anthropic.com. IP addresses and http:// are taken only where PRIVATE_ADDRESSES_ALLOWED names the address.",
    );
  }
  const level = text("LOG_LEVEL", "info");
  const logLevel = LEVELS.find((known) => known === level);
  if (logLevel === undefined) problems.push(`LOG_LEVEL must be one of: ${LEVELS.join(", ")}.`);
  const hasMetrics = text("METRICS_PORT") !== "off";

  const config: Config = {
    secret,
    host: text("HOST", "127.0.0.1"),
    port: number("PORT", DEFAULT_PORT, 0, 65_535),
    tls: certFile === "" ? null : { certFile, keyFile },
    metrics: hasMetrics
      ? {
          host: text("METRICS_HOST", "127.0.0.1"),
          port: number("METRICS_PORT", DEFAULT_METRICS_PORT, 0, 65_535),
        }
      : null,
    upstreamOrigins: new Set(origins),
    privateAddresses,
    firstByteTimeoutMs: seconds("FIRST_BYTE_TIMEOUT_SECONDS", 110, 3_600),
    dialTimeoutMs: seconds("DIAL_TIMEOUT_SECONDS", 10, 60),
    silenceTimeoutMs: seconds("SILENCE_TIMEOUT_SECONDS", 300, 3_600),
    maxPools: number("MAX_POOLS", 500, 1, 100_000),
    maxSocketsPerPool: number("MAX_SOCKETS_PER_POOL", 1_000, 1, 50_000),
    poolIdleMs: seconds("POOL_IDLE_SECONDS", 300, 86_400),
    socketIdleMs: seconds("SOCKET_IDLE_SECONDS", 30, 600),
    drainMs: seconds("DRAIN_SECONDS", 600, 3_600),
    logLevel: logLevel ?? "info",
  };
  return problems.length === 0 ? { ok: true, value: config } : { ok: false, error: problems };
}

function listOf(text: string): string[] {
  return text
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
}

/** An origin as `URL` writes it, so that comparing it with a token's is comparing text. */
function isUpstreamOrigin(text: string, privateAddresses: readonly string[]): boolean {
  const url = URL.parse(text);
  if (url === null || url.origin !== text) return false;
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (privateAddresses.includes(host)) return true;
  return url.protocol === "https:" && isIP(host) === 0;
}
