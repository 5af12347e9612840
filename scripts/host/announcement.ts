import { fetchHealth, type Health } from "./health.ts";
import type { LaunchedRelay } from "./launch.ts";
import { relayVersion } from "./project.ts";
import { secretsPath } from "./secrets-file.ts";

const LOOPBACK = new Set(["127.0.0.1", "::1", "localhost"]);
const LABEL_WIDTH = 16;

/**
 * Prints, once the relay answers, where it is and what comes next. Plain text, for people and log
 * files alike.
 *
 * @returns false where no stored account can be read under the given encryption key: then there is
 *   nothing to serve with
 */
export async function announce(relay: LaunchedRelay): Promise<boolean> {
  const { host, listenHost, stateDir, vars } = relay;
  const [health, hasKeys] = await Promise.all([fetchHealth(host.url), host.hasKeys()]);
  for (const line of otherKeyLines(health, secretsPath(stateDir))) console.error(line);
  const { total = 0, otherEncryptionKey = 0 } = health?.accounts ?? {};
  if (total > 0 && otherEncryptionKey === total) return false;

  const rows: [string, string][] = [
    ["For clients", `ANTHROPIC_BASE_URL=${host.url}`],
    ["Panel", `${host.url}/web/`],
    ["Admin API", `${host.url}/admin`],
    ["Admin user", vars.ADMIN_USERNAME ?? ""],
    ["State", stateDir],
  ];
  if (!LOOPBACK.has(listenHost)) {
    rows.push(["Note", `listens on ${listenHost}: put TLS in front of it`]);
  }
  const lines = [
    `Relay ${health?.version ?? relayVersion()} is running at ${host.url}`,
    "",
    ...rows.map(([label, value]) => `  ${label.padEnd(LABEL_WIDTH)}${value}`),
    "",
    ...nextSteps(health, hasKeys),
  ];
  for (const line of lines) console.log(line);
  return true;
}

function nextSteps(health: Health | null, hasKeys: boolean): string[] {
  if (health === null) return ["GET /health did not answer: see the log lines above."];
  const { accounts } = health;
  const steps: string[] = [];
  if (accounts === undefined || health.keyStore === "unavailable") {
    steps.push(`Not ready: ${health.message ?? health.status}`);
  } else if (accounts.total === 0) {
    steps.push("Next: no account yet.  npm run cli -- accounts add");
  } else if (accounts.otherEncryptionKey === 0 && accounts.usable === 0) {
    steps.push(`Not ready: ${health.message ?? "no account can serve"}`);
  }
  if (!hasKeys) steps.push("Next: no key yet.      npm run cli -- keys create");
  if (steps.length === 0) {
    steps.push(`Ready to serve: ${accounts?.usable} of ${accounts?.total} accounts usable.`);
  }
  return steps;
}

/** Says that accounts were stored under another key, and how to go on; empty where none were. */
function otherKeyLines(health: Health | null, secretsFile: string): string[] {
  const { otherEncryptionKey = 0, total = 0 } = health?.accounts ?? {};
  if (otherEncryptionKey === 0) return [];
  const whose = otherEncryptionKey === total ? `all ${total}` : `${otherEncryptionKey} of ${total}`;
  return [
    `ENCRYPTION_KEY is not the one that ${whose} accounts were stored under: they cannot be read.`,
    "Nothing was changed. To go on with them, either",
    `  put the old key back: ENCRYPTION_KEY in ${secretsFile}`,
    "  (and remove it from .dev.vars or the environment, which win over that file), or",
    "  keep the new key, and give the old one as ENCRYPTION_KEY_PREVIOUS.",
  ];
}
