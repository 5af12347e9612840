import { spawn } from "node:child_process";
import { join } from "node:path";
import { unstable_readConfig as readWranglerConfig } from "wrangler";
import { buildPanel } from "./host/panel-build.ts";
import { projectDir, wranglerScript } from "./host/project.ts";
import { runMain, Stop } from "./host/stop.ts";

/** The Pages project: its configuration, and the function that forwards to the relay. */
const PAGES_DIR = join(projectDir, "admin-pages");

const HELP = `npm run deploy:pages [-- <flags of wrangler pages deploy>]

Builds the panel and deploys it to Cloudflare Pages. Before the first time, fill in
admin-pages/wrangler.toml, deploy the relay, and sign in: npx wrangler login.`;

/** Hands the built panel to wrangler, which asks whatever it has to in this terminal. */
async function main(): Promise<number> {
  const flags = process.argv.slice(2);
  if (flags.includes("--help") || flags.includes("-h")) {
    console.log(HELP);
    return 0;
  }
  requireRelayUrl();
  await buildPanel();
  return await run([wranglerScript, "pages", "deploy", ...flags], PAGES_DIR);
}

/** Without it the panel could not tell anyone where to point a client. */
function requireRelayUrl(): void {
  const config = join(PAGES_DIR, "wrangler.toml");
  const { vars } = readWranglerConfig({ config });
  const url = typeof vars.RELAY_URL === "string" ? vars.RELAY_URL : "";
  if (/^https:\/\/[^/\s]+$/.test(url)) return;
  throw new Stop(
    url === ""
      ? "RELAY_URL in admin-pages/wrangler.toml is empty. Put the relay's own https:// address there, as clients use it, and run this again."
      : `RELAY_URL in admin-pages/wrangler.toml is "${url}". It must be an https:// address without a slash at its end.`,
  );
}

function run(command: string[], cwd: string): Promise<number> {
  return new Promise((settle, fail) => {
    const child = spawn(process.execPath, command, { cwd, stdio: "inherit" });
    child.once("error", fail);
    child.once("close", (code) => settle(code ?? 1));
  });
}

await runMain(main);
