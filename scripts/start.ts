import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { announce } from "./host/announcement.ts";
import { curlLine, type DemoUpstream, furnishDemo, startDemoUpstream } from "./host/demo.ts";
import { takeSignals, untilEnded } from "./host/ending.ts";
import { type LaunchedRelay, launch } from "./host/launch.ts";
import { DEFAULT_STATE_DIR, projectDir } from "./host/project.ts";
import { hasData, SECRET_NAMES } from "./host/secrets-file.ts";
import { givenValues, portOf, type Values } from "./host/settings.ts";
import { runMain, Stop } from "./host/stop.ts";

const DEFAULT_HOST = "127.0.0.1";
const DEFAULT_PORT = 8787;
const DEMO_DIR = "demo";

const HELP = `npm start [-- --demo]

Runs the relay on this machine, with its state on disk. No Cloudflare account is needed.

  --demo   with a stand-in for the Anthropic API, an account and a key, in ${DEFAULT_STATE_DIR}/${DEMO_DIR},
           which is emptied first
  --help   this text

Environment (or .dev.vars; the environment wins):
  PORT             default ${DEFAULT_PORT}; 0 takes any free port
  HOST             default ${DEFAULT_HOST}
  RELAY_STATE_DIR  default ${DEFAULT_STATE_DIR}
  ADMIN_USERNAME   the admin's name, default admin
  ADMIN_PASSWORD   at the first start: the admin's password; made up and shown once if missing
  and every name of .dev.vars.example`;

async function main(): Promise<number> {
  const flags = readFlags();
  if (flags.help) {
    console.log(HELP);
    return 0;
  }
  takeSignals();
  const given = givenValues(process.env);
  const upstream = flags.demo ? await startDemoUpstream() : null;
  try {
    const { relay, relayKey } = await start(given, upstream);
    return await serve(relay, upstream, relayKey);
  } finally {
    await upstream?.close();
  }
}

function readFlags(): { demo: boolean; help: boolean } {
  try {
    const { values } = parseArgs({
      options: {
        demo: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    return values;
  } catch (error) {
    throw new Stop(`${error instanceof Error ? error.message : error}\n\n${HELP}`);
  }
}

async function start(
  given: Values,
  upstream: DemoUpstream | null,
): Promise<{ relay: LaunchedRelay; relayKey: string | null }> {
  const place = {
    host: given.HOST ?? DEFAULT_HOST,
    port: portOf(given.PORT, DEFAULT_PORT),
    stateDir: given.RELAY_STATE_DIR ?? DEFAULT_STATE_DIR,
    print: console.log,
  };
  if (upstream === null) return { relay: await launch({ ...place, given }), relayKey: null };

  const isOwnDir = given.RELAY_STATE_DIR === undefined;
  const stateDir = isOwnDir ? `${DEFAULT_STATE_DIR}/${DEMO_DIR}` : place.stateDir;
  if (!isOwnDir && hasData(resolve(projectDir, stateDir))) {
    throw new Stop(`${stateDir} holds a relay's data: --demo wants an empty folder of its own.`);
  }
  const relay = await launch({
    ...place,
    stateDir,
    given: { ...withoutSecrets(given), ...upstream.vars },
    wipe: isOwnDir,
  });
  try {
    const password = relay.newPassword ?? given.ADMIN_PASSWORD ?? "";
    const admin = { username: relay.vars.ADMIN_USERNAME ?? "", password };
    return { relay, relayKey: await furnishDemo(relay.host.url, admin, upstream.apiKey) };
  } catch (error) {
    await relay.host.kill();
    relay.release();
    throw error;
  }
}

async function serve(
  relay: LaunchedRelay,
  upstream: DemoUpstream | null,
  relayKey: string | null,
): Promise<number> {
  if (!(await announce(relay))) {
    await relay.host.kill();
    relay.release();
    return 1;
  }
  if (relayKey !== null) {
    console.log("\nA demo: answers come from a stand-in on this machine. Try it:\n");
    console.log(curlLine(relay.host.url, relayKey));
  }
  return await untilEnded(relay, console.log, async () => upstream?.close());
}

/** A demo has an admin and keys of its own, whatever the operator's real relay uses. */
function withoutSecrets(given: Values): Values {
  const names: readonly string[] = [...SECRET_NAMES, "ENCRYPTION_KEY_PREVIOUS"];
  return Object.fromEntries(Object.entries(given).filter(([name]) => !names.includes(name)));
}

await runMain(main);
