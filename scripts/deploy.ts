import { parseArgs } from "node:util";
import { deployRelay } from "./deploy/deploy.ts";
import { runMain, Stop } from "./host/stop.ts";

const HELP = `npm run deploy [-- --env preview] [--replace]

Puts the relay on Cloudflare: looks whether you are logged in and whether the configuration is whole,
builds, makes the secrets that the Worker lacks, and deploys. What exists stays as it is: run it again
for every new version, and after every failure.

  --env NAME   an environment of wrangler.toml, such as preview; without it: production
  --replace    also where the account has a Worker of that name which is not this relay
  --help       this text

ADMIN_USERNAME, ADMIN_PASSWORD  the admin's name and password at the first time; the password is made
                                up and shown once if missing
CLOUDFLARE_ACCOUNT_ID           which account, where the login knows several
CLOUDFLARE_API_TOKEN            instead of \`npx wrangler login\`, where there is no browser`;

async function main(): Promise<number> {
  const flags = readFlags();
  if (flags.help) {
    console.log(HELP);
    return 0;
  }
  await deployRelay({
    environment: flags.env ?? "",
    mayReplace: flags.replace ?? false,
    env: process.env,
    print: console.log,
  });
  return 0;
}

function readFlags() {
  try {
    return parseArgs({
      options: {
        env: { type: "string" },
        replace: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (error) {
    throw new Stop(`${error instanceof Error ? error.message : error}\n\n${HELP}`);
  }
}

await runMain(main);
