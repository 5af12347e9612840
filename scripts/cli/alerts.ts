import { type Command, Option } from "commander";
import { ALERT_FORMATS, ALERT_KINDS } from "../../src/alerts/alert.ts";
import type { AdminClient } from "./admin-client.ts";
import { contextOf, examples, PROGRAM } from "./command-context.ts";
import { usageFailure } from "./failure.ts";
import { pick, shortId } from "./reference.ts";
import { tableLines } from "./table.ts";
import { confirmed, print, printJson, say, secretInput } from "./terminal.ts";
import { plain } from "./text-width.ts";

/** A webhook as the admin API shows it. */
interface Webhook {
  id: string;
  name: string;
  format: string;
  kinds: string[];
  enabled: boolean;
  host: string;
  delivery: {
    lastSuccessAt: string | null;
    lastFailure: string | null;
    failures: number;
    waiting: number;
    givenUp: number;
  };
}

interface Flags {
  name?: string;
  format?: string;
  kind?: string[];
  addressStdin?: boolean;
  secretStdin?: boolean;
  enable?: boolean;
  disable?: boolean;
}

const PATH = "/admin/alerts";
const WHICH = "its name, its id, or the beginning of its id";
const KINDS = `what it is told: ${ALERT_KINDS.join(", ")}`;
const COLUMNS = [
  { title: "ID" },
  { title: "NAME", shrinks: true },
  { title: "FORMAT" },
  { title: "TO" },
  { title: "STATE" },
  { title: "WAITING", alignsRight: true },
  { title: "GIVEN UP", alignsRight: true },
];

/** `alerts …`: whom the relay tells when something is wrong. */
export function alertCommands(program: Command): void {
  const alerts = program
    .command("alerts")
    .description("webhooks that are told when something is wrong, and of each day")
    .addHelpText("after", examples(`${PROGRAM} alerts list`));

  alerts
    .command("list")
    .description("all webhooks, and how deliveries to them go")
    .addHelpText("after", examples(`${PROGRAM} alerts list`))
    .action(async (_flags: object, command: Command) => {
      const { api, json } = contextOf(command);
      const webhooks = await listed(api);
      if (json) return printJson({ webhooks });
      if (webhooks.length === 0) return say(`No webhook yet. Add one: ${PROGRAM} alerts add`);
      for (const line of tableLines(COLUMNS, webhooks.map(cellsOf))) print(line);
      for (const { name, delivery } of webhooks) {
        if (delivery.failures > 0) say(`${plain(name)}: ${plain(delivery.lastFailure ?? "")}`);
      }
    });

  alerts
    .command("add")
    .description("adds a webhook; its address comes from standard input, as it may hold a token")
    .requiredOption("--name <name>", "what the webhook is called here")
    .addOption(formatOption().makeOptionMandatory())
    .option("--kind <kinds...>", `${KINDS}; default: all`)
    .option("--secret-stdin", "read the receiver's secret from standard input, after the address")
    .addHelpText(
      "after",
      examples(
        `${PROGRAM} alerts add --name ops --format slack < address.txt`,
        `${PROGRAM} alerts add --name pager --format json --kind accounts_exhausted < address.txt`,
      ),
    )
    .action(async ({ name, format, kind, secretStdin }: Flags, command: Command) => {
      const { api, json } = contextOf(command);
      const address = await secretInput("webhook's address");
      const secret = secretStdin ? { secret: await secretInput("receiver's secret") } : {};
      const made = await api.call<Webhook & { secret: string | null }>("POST", PATH, {
        ...{ name, format, address, ...secret },
        ...(kind === undefined ? {} : { kinds: kind }),
      });
      if (json) return printJson(made);
      print(`The webhook ${plain(made.name)} is added.`);
      if (made.secret !== null) {
        print(`The receiver verifies with this secret, which is shown only now: ${made.secret}`);
      }
      say(`Try it: ${PROGRAM} alerts test ${shortId(made.id)}`);
    });

  alerts
    .command("update")
    .description("changes a webhook; what is not given stays")
    .argument("<webhook>", WHICH)
    .option("--name <name>", "what it is called here")
    .option("--kind <kinds...>", KINDS)
    .option("--address-stdin", "read a new address from standard input")
    .option("--secret-stdin", "read a new secret from standard input, after the address")
    .option("--enable", "send to it again")
    .option("--disable", "send nothing to it for now")
    .addHelpText("after", examples(`${PROGRAM} alerts update ops --disable`))
    .action(async (given: string, flags: Flags, command: Command) => {
      const { api, json } = contextOf(command);
      const { id } = pick("webhook", given, await listed(api));
      const { name, kind, addressStdin, secretStdin, enable, disable } = flags;
      if (enable && disable) throw usageFailure("Give only one of --enable and --disable.");
      const patch = {
        ...(name === undefined ? {} : { name }),
        ...(kind === undefined ? {} : { kinds: kind }),
        ...(enable || disable ? { enabled: enable === true } : {}),
        ...(addressStdin ? { address: await secretInput("webhook's address") } : {}),
        ...(secretStdin ? { secret: await secretInput("receiver's secret") } : {}),
      };
      if (Object.keys(patch).length === 0) throw usageFailure("Say what is to change.");
      const webhook = await api.call<Webhook>("PUT", `${PATH}/${id}`, patch);
      if (json) return printJson(webhook);
      print(`The webhook ${plain(webhook.name)} is changed.`);
    });

  alerts
    .command("remove")
    .description("removes a webhook, and what waits for it")
    .argument("<webhook>", WHICH)
    .option("--yes", "without asking")
    .addHelpText("after", examples(`${PROGRAM} alerts remove ops --yes`))
    .action(async (given: string, { yes }: { yes?: boolean }, command: Command) => {
      const { api, json } = contextOf(command);
      const { id, name } = pick("webhook", given, await listed(api));
      await confirmed(`Remove the webhook ${plain(name)}?`, yes);
      const removed = await api.call("DELETE", `${PATH}/${id}`);
      if (json) return printJson(removed);
      print(`The webhook ${plain(name)} is removed.`);
    });

  alerts
    .command("test")
    .description("sends a webhook a message now")
    .argument("<webhook>", WHICH)
    .addHelpText("after", examples(`${PROGRAM} alerts test ops`))
    .action(async (given: string, _flags: object, command: Command) => {
      const { api, json } = contextOf(command);
      const { id, name } = pick("webhook", given, await listed(api));
      const tested = await api.call("POST", `${PATH}/${id}/test`);
      if (json) return printJson(tested);
      print(`The receiver of ${plain(name)} has taken the test.`);
    });
}

function formatOption(): Option {
  return new Option("--format <format>", "what the receiver understands").choices(ALERT_FORMATS);
}

async function listed(api: AdminClient): Promise<Webhook[]> {
  return (await api.call<{ webhooks: Webhook[] }>("GET", PATH)).webhooks;
}

function cellsOf({ id, name, format, host, enabled, delivery }: Webhook): string[] {
  const works = delivery.lastSuccessAt === null ? "not used yet" : "works";
  const state = enabled ? (delivery.failures > 0 ? "fails" : works) : "off";
  const counts = [String(delivery.waiting), String(delivery.givenUp)];
  return [shortId(id), name, format, host, state, ...counts];
}
