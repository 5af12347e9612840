import { mkdirSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { DEFAULT_STATE_DIR, projectDir } from "./host/project.ts";
import {
  ensureSecrets,
  readSecrets,
  resetAdminPassword,
  SECRET_NAMES,
  type SecretsOutcome,
  secretsPath,
} from "./host/secrets-file.ts";
import { givenValues } from "./host/settings.ts";
import { runningRelay } from "./host/state-lock.ts";
import { runMain, Stop } from "./host/stop.ts";

const DIR_MODE = 0o700;

const HELP = `npm run setup [-- --reset-admin-password | --json]

Makes the relay's secrets where they are missing, and starts nothing. What exists stays as it is.

  --reset-admin-password  gives the admin a new password: ADMIN_PASSWORD, or one that is made up
                          and shown once
  --json                  writes the secrets to a pipe. A deployed relay that was not made from them
                          must not be given them: its accounts could no longer be read
  --help                  this text

RELAY_STATE_DIR  the folder of the secrets and the state, default ${DEFAULT_STATE_DIR}
ADMIN_USERNAME, ADMIN_PASSWORD  the admin's name and password, where they are not set yet`;

async function main(): Promise<number> {
  const flags = readFlags();
  if (flags.help) {
    console.log(HELP);
    return 0;
  }
  const given = givenValues(process.env);
  const stateDir = resolve(projectDir, given.RELAY_STATE_DIR ?? DEFAULT_STATE_DIR);
  if (flags.json) return writeJson(stateDir);
  if (flags["reset-admin-password"]) return resetPassword(stateDir, given.ADMIN_PASSWORD);

  mkdirSync(stateDir, { recursive: true, mode: DIR_MODE });
  const outcome = ensureSecrets({
    stateDir,
    // The file is made whole, even if some of it comes from elsewhere on this machine.
    given: {},
    adminUsername: given.ADMIN_USERNAME,
    adminPassword: given.ADMIN_PASSWORD,
  });
  for (const line of report(stateDir, outcome)) console.log(line);
  return 0;
}

function readFlags() {
  try {
    return parseArgs({
      options: {
        "reset-admin-password": { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (error) {
    throw new Stop(`${error instanceof Error ? error.message : error}\n\n${HELP}`);
  }
}

function report(stateDir: string, { secrets, made, newPassword }: SecretsOutcome): string[] {
  const path = secretsPath(stateDir);
  const isDefault = resolve(projectDir, DEFAULT_STATE_DIR) === stateDir;
  const prefix = isDefault ? "" : `RELAY_STATE_DIR='${stateDir}' `;
  const lines =
    made.length === 0
      ? [`${path} is complete; nothing was changed.`]
      : [`Made in ${path}: ${made.join(", ")}.`];
  lines.push("", `  Admin user      ${secrets.ADMIN_USERNAME ?? ""}`);
  if (newPassword !== null) {
    lines.push(`  Admin password  ${newPassword}`, "                  Shown only now.");
  }
  lines.push(
    "",
    "Next, for a relay on this machine:",
    `  ${prefix}npm start`,
    "",
    "Next, for a relay on Cloudflare, which gets secrets of its own:",
    "  npx wrangler login",
    "  npm run deploy",
  );
  return lines;
}

function resetPassword(stateDir: string, wanted: string | undefined): number {
  const password = resetAdminPassword(stateDir, wanted);
  console.log(`The admin's password was changed in ${secretsPath(stateDir)}.`);
  if (password !== null) {
    console.log(`\n  Admin password  ${password}\n                  Shown only now.\n`);
  }
  const running = runningRelay(realpathSync(stateDir));
  console.log(
    running === null
      ? "It counts from the next start on."
      : `The relay at ${running.url ?? `pid ${running.starter.pid}`} knows it after a restart.`,
  );
  console.log(
    "A deployed relay has a password of its own: npm run cli -- admin set-password --remote",
  );
  return 0;
}

function writeJson(stateDir: string): number {
  const secrets = readSecrets(stateDir);
  const missing = SECRET_NAMES.filter((name) => !secrets?.[name]);
  if (missing.length > 0) {
    throw new Stop(`${secretsPath(stateDir)} lacks ${missing.join(", ")}: run \`npm run setup\`.`);
  }
  if (process.stdout.isTTY) {
    throw new Stop("--json writes secrets, which do not belong on a screen: pipe it.");
  }
  process.stdout.write(JSON.stringify(secrets));
  return 0;
}

await runMain(main);
