import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type WranglerCall, type WranglerOutcome, wranglerOutcome } from "../cli/wrangler-run.ts";
import { fetchHealth } from "../host/health.ts";
import { ensurePanel } from "../host/panel-build.ts";
import { DEFAULT_STATE_DIR, projectDir } from "../host/project.ts";
import { SECRET_NAMES } from "../host/secrets-file.ts";
import { errorCode, Stop } from "../host/stop.ts";
import { stopFor } from "./failures.ts";
import { deployedSecretsPath, planSecrets, writtenSecrets } from "./own-secrets.ts";
import { checkConfiguration, findTarget, type Target } from "./target.ts";

/** A new address answers after some seconds; longer ones are told to be waited for. */
const HEALTH_LIMIT_MS = 10_000;

export interface DeployOptions {
  /** Empty: production. */
  environment: string;
  /** Whether a Worker that is not this relay may be replaced. */
  mayReplace: boolean;
  /** ADMIN_USERNAME, ADMIN_PASSWORD and RELAY_STATE_DIR count; wrangler has the process's own. */
  env: Partial<Record<string, string>>;
  print(line: string): void;
  /** Instead of the project's own wrangler. */
  script?: string;
}

interface Deployed {
  url: string | null;
  versionId: string | null;
}

/**
 * Deploys the relay, step by step. Each step finds out what is there and makes only what is missing,
 * so that a run may stop anywhere and be repeated.
 *
 * @throws Stop with what happened and what to do
 */
export async function deployRelay(options: DeployOptions): Promise<void> {
  const { print, env } = options;
  const target = findTarget(options.environment);
  const wrangler = (args: readonly string[], call: WranglerCall = {}) =>
    wranglerOutcome(args, {
      ...call,
      script: options.script,
      environment: target.environment,
    });

  print(`Deploying ${target.workerName} (${target.environment || "production"}).`);
  print(`Login: ${await accountOf(wrangler)}`);
  const stateDir = resolve(projectDir, env.RELAY_STATE_DIR?.trim() || DEFAULT_STATE_DIR);
  const secretsFile = deployedSecretsPath(stateDir, target);

  const has = await deployedSecretNames(wrangler);
  const isOurs =
    has === null || SECRET_NAMES.some((name) => has.has(name)) || writtenSecrets(secretsFile);
  if (!isOurs && !options.mayReplace) throw strangerStop(target);
  checkConfiguration(target, has ?? new Set());
  print(has === null ? "Worker: new." : "Worker: is there; its state and secrets stay.");

  await ensurePanel(print);
  const checked = await wrangler(["deploy", "--dry-run"]);
  if (checked.code !== 0) throw stopFor("The Worker could not be built; nothing was made", checked);
  print("Build: done.");

  const plan = planSecrets(secretsFile, has ?? new Set(), {
    username: env.ADMIN_USERNAME?.trim(),
    password: env.ADMIN_PASSWORD,
  });
  const names = Object.keys(plan.secrets);
  if (plan.newPassword !== null) showPassword(plan.newPassword, plan.secrets, env, print);
  if (names.length > 0) {
    await putSecrets(wrangler, plan.secrets);
    print(`Secrets: set ${names.join(", ")}.`);
    print(`  They stand in ${plan.path} too: back it up, they cannot be read back.`);
  } else {
    print("Secrets: all there; none was changed.");
  }
  await finish(await upload(wrangler), target, print);
}

type Wrangler = (args: readonly string[], call?: WranglerCall) => Promise<WranglerOutcome>;

/** @returns who is logged in, in words */
async function accountOf(wrangler: Wrangler): Promise<string> {
  const outcome = await wrangler(["whoami", "--json"]);
  const user = parsed(outcome.stdout) as {
    loggedIn?: boolean;
    email?: string;
    accounts?: { id: string; name: string }[];
  } | null;
  if (user?.loggedIn === false) {
    throw new Stop(
      "You are not logged in to Cloudflare. Run `npx wrangler login`, which opens a browser; where there is none, set CLOUDFLARE_API_TOKEN. Then run this again.",
    );
  }
  if (outcome.code !== 0 || user === null) throw stopFor("The login could not be checked", outcome);
  const { accounts = [], email } = user;
  const wanted = process.env.CLOUDFLARE_ACCOUNT_ID;
  if (accounts.length > 1 && !wanted) {
    throw new Stop(
      [
        "The login knows several Cloudflare accounts. Choose one with CLOUDFLARE_ACCOUNT_ID:",
        ...accounts.map(
          ({ id, name }) => `  CLOUDFLARE_ACCOUNT_ID=${id} npm run deploy   # ${name}`,
        ),
      ].join("\n"),
    );
  }
  const account = accounts.find(({ id }) => id === wanted) ?? accounts[0];
  return [email, account?.name].filter(Boolean).join(", ") || "an API token";
}

/** @returns the names of the Worker's secrets; null: there is no such Worker */
async function deployedSecretNames(wrangler: Wrangler): Promise<Set<string> | null> {
  const outcome = await wrangler(["secret", "list", "--format", "json"]);
  if (outcome.code === 0) {
    const list = parsed(outcome.stdout);
    if (Array.isArray(list)) return new Set(list.map(({ name }: { name: string }) => name));
  }
  if (/\[code: 10007\]|\[code: 10090\]|Worker .*not found|does not exist/i.test(textOf(outcome))) {
    return null;
  }
  throw stopFor("The Worker's secrets could not be listed", outcome);
}

function strangerStop({ workerName }: Target): Stop {
  return new Stop(
    `The account has a Worker named ${workerName} already, and it is not this relay: it has none of its secrets.
Nothing was changed. Choose another name in wrangler.toml (name = "…"), or, if that Worker may go,
replace it: npm run deploy -- --replace`,
  );
}

/** The password is shown before the Worker is given it: a run that is cut off must not take it along. */
function showPassword(
  password: string,
  secrets: Partial<Record<string, string>>,
  env: DeployOptions["env"],
  print: DeployOptions["print"],
): void {
  const username = secrets.ADMIN_USERNAME ?? env.ADMIN_USERNAME;
  print("");
  if (username) print(`  Admin user      ${username}`);
  print(`  Admin password  ${password}`);
  print(
    "                  Shown only now. To change it: npm run cli -- admin set-password --remote",
  );
  print("");
}

async function putSecrets(wrangler: Wrangler, secrets: Partial<Record<string, string>>) {
  const outcome = await wrangler(["secret", "bulk"], { stdin: JSON.stringify(secrets) });
  if (outcome.code !== 0) throw stopFor("The secrets could not be set", outcome);
  // It ends well, too, where it set nothing.
  const isSaid = Object.keys(secrets).every((name) => textOf(outcome).includes(name));
  if (!isSaid) throw stopFor("wrangler did not say that it set the secrets", outcome);
}

async function upload(wrangler: Wrangler): Promise<Deployed> {
  const dir = mkdtempSync(join(tmpdir(), "relay-deploy-"));
  const file = join(dir, "outcome.jsonl");
  try {
    const outcome = await wrangler(["deploy"], { env: { WRANGLER_OUTPUT_FILE_PATH: file } });
    if (outcome.code !== 0) throw stopFor("The Worker could not be deployed", outcome);
    return deployedOf(file, outcome.stdout);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** What wrangler wrote down of the deployment, else what it printed. */
function deployedOf(file: string, printed: string): Deployed {
  const entry = linesOf(file)
    .map(
      (line) => parsed(line) as { type?: string; targets?: string[]; version_id?: string } | null,
    )
    .find((candidate) => candidate?.type === "deploy");
  const target = entry?.targets?.[0] ?? /https:\/\/\S+\.workers\.dev/.exec(printed)?.[0];
  const url = target === undefined ? null : addressOf(target);
  return { url, versionId: entry?.version_id ?? null };
}

/** A target is an address, or a route such as `relay.example.com/*` with words behind it. */
function addressOf(target: string): string {
  const [place = ""] = target.split(" ", 1);
  return (/^https?:\/\//.test(place) ? place : `https://${place}`).replace(/\/?\*?$/, "");
}

async function finish(
  { url, versionId }: Deployed,
  { environment }: Target,
  print: DeployOptions["print"],
): Promise<void> {
  print(`Deployed${versionId === null ? "" : `, version ${versionId}`}.`);
  if (url === null) {
    print("It has no address yet: set workers_dev = true or a route in wrangler.toml, and deploy.");
    return;
  }
  const health = await fetchHealth(url, HEALTH_LIMIT_MS);
  const flags = environment === "" ? "" : ` --env ${environment}`;
  const lines = [
    "",
    `  For clients     ANTHROPIC_BASE_URL=${url}`,
    `  Panel           ${url}/web/`,
    `  Admin API       ${url}/admin`,
    `  Health          ${health === null ? "no answer yet; a new address takes up to a minute" : health.status}`,
    "",
    "Next:",
    `  npm run cli -- --url ${url} accounts add`,
    `  npm run cli -- --url ${url} keys create`,
    `  npm run service:status -- --remote${flags}`,
  ];
  for (const line of lines) print(line);
}

function linesOf(file: string): string[] {
  try {
    return readFileSync(file, "utf8").split("\n");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  }
}

/** Lines of wrangler's own may stand before its answer. */
function parsed(text: string): unknown {
  const start = text.search(/^[[{]/m);
  try {
    return start === -1 ? null : JSON.parse(text.slice(start));
  } catch {
    return null;
  }
}

function textOf({ stdout, stderr }: WranglerOutcome): string {
  return `${stdout}\n${stderr}`;
}
