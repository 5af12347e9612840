import { get } from "node:http";
import { get as getOverTls } from "node:https";
import { readConfig } from "./config.ts";

const TIMEOUT_MS = 3_000;

/** Asks the service of this machine whether it is well, for the container's health check. */
const config = readConfig(process.env);
if (!config.ok) process.exit(1);
const { port, tls } = config.value;
const options = { host: "127.0.0.1", port, path: "/health", timeout: TIMEOUT_MS };
// Over loopback, and nothing is told: the name on the certificate is that of the world outside.
const request =
  tls === null ? get(options, judge) : getOverTls({ ...options, rejectUnauthorized: false }, judge);
request.on("timeout", () => request.destroy());
request.on("error", () => process.exit(1));

function judge({ statusCode }: { statusCode?: number | undefined }): void {
  process.exit(statusCode === 200 ? 0 : 1);
}
