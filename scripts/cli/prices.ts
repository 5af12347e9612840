import type { Command } from "commander";
import { contextOf, examples, PROGRAM } from "./command-context.ts";
import { usageFailure } from "./failure.ts";
import { tableLines } from "./table.ts";
import { print, printJson, say } from "./terminal.ts";

/** A price as the admin API shows it, in dollars for a million tokens. */
interface Price {
  id: string;
  model: string;
  effectiveFrom: string;
  input: number;
  output: number;
  cacheWrite5m: number;
  cacheWrite1h: number;
  cacheRead: number;
  longPrompt: { thresholdTokens: number } | null;
}

interface PricesAnswer {
  prices: Price[];
  listed: Price[];
  standIn: Price;
}

interface SetFlags {
  from?: string;
  input: string;
  output: string;
  cacheWrite: string;
  cacheWriteHour: string;
  cacheRead: string;
  force?: boolean;
}

const COLUMNS = [
  { title: "MODEL", shrinks: true },
  { title: "FROM" },
  ...["INPUT", "OUTPUT", "WRITE 5M", "WRITE 1H", "READ"].map((title) => ({
    title,
    alignsRight: true,
  })),
  { title: "BY" },
];

/** `prices …`: what requests are reckoned at. */
export function priceCommands(program: Command): void {
  const prices = program
    .command("prices")
    .description("what requests are reckoned at: the built-in prices, and those of your own")
    .addHelpText("after", examples(`${PROGRAM} prices list`));

  prices
    .command("list")
    .description("the prices of your own; with --all also the built-in ones")
    .option("--all", "also the built-in prices, and what unknown models are reckoned at")
    .addHelpText("after", `\n${UNIT}\n${examples(`${PROGRAM} prices list --all`)}`)
    .action(async ({ all }: { all?: boolean }, command: Command) => {
      const { api, json } = contextOf(command);
      const answer = await api.call<PricesAnswer>("GET", "/admin/prices");
      if (json) return printJson(all ? answer : { prices: answer.prices });
      const rows = answer.prices.map((price) => cellsOf(price, "you"));
      if (all) {
        const builtIn = [...answer.listed, answer.standIn];
        rows.push(...builtIn.map((price) => cellsOf(price, "the relay")));
      }
      if (rows.length === 0) return say("No price of your own is set: the built-in ones count.");
      for (const line of tableLines(COLUMNS, rows)) print(line);
    });

  prices
    .command("set")
    .description("sets a price of your own for a model, from a day on")
    .argument("<model>", "the model's name, with its date or without")
    .requiredOption("--input <dollars>", "for a million tokens of input")
    .requiredOption("--output <dollars>", "of output")
    .requiredOption("--cache-write <dollars>", "written to the cache for five minutes")
    .requiredOption("--cache-write-hour <dollars>", "written to the cache for an hour")
    .requiredOption("--cache-read <dollars>", "read from the cache")
    .option("--from <day>", "from this day on, such as 2027-01-31, UTC; default: today")
    .option("--force", "also where it is far from the built-in price")
    .addHelpText(
      "after",
      `
${UNIT} It counts for requests that end from now on, and
began on that day or later; what was reckoned before stays. One price counts for prompts of any length.
${examples(
  `${PROGRAM} prices set claude-opus-5 --input 4 --output 20 --cache-write 5 --cache-write-hour 8 --cache-read 0.4`,
)}`,
    )
    .action(async (model: string, flags: SetFlags, command: Command) => {
      const amounts = {
        input: dollarsOf("--input", flags.input),
        output: dollarsOf("--output", flags.output),
        cacheWrite5m: dollarsOf("--cache-write", flags.cacheWrite),
        cacheWrite1h: dollarsOf("--cache-write-hour", flags.cacheWriteHour),
        cacheRead: dollarsOf("--cache-read", flags.cacheRead),
      };
      const { api, json } = contextOf(command);
      const price = await api.call<Price>("PUT", "/admin/prices", {
        model,
        ...(flags.from === undefined ? {} : { effectiveFrom: flags.from }),
        ...amounts,
        force: flags.force === true,
      });
      if (json) return printJson(price);
      print(`The price of ${price.model} is set from ${price.effectiveFrom} on.`);
    });

  prices
    .command("remove")
    .description("removes a price of your own; what was reckoned at it stays")
    .argument("<model>", "the model's name")
    .requiredOption("--from <day>", "the day from which it counts")
    .addHelpText("after", examples(`${PROGRAM} prices remove claude-opus-5 --from 2027-01-01`))
    .action(async (model: string, { from }: { from: string }, command: Command) => {
      const { api, json } = contextOf(command);
      const query = new URLSearchParams({ model, effectiveFrom: from });
      const removed = await api.call("DELETE", `/admin/prices?${query}`);
      if (json) return printJson(removed);
      print(`The price of ${model} from ${from} is removed.`);
    });
}

const UNIT = "Prices are US dollars for a million tokens.";

function cellsOf(price: Price, by: string): string[] {
  const { model, effectiveFrom, input, output, cacheWrite5m, cacheWrite1h, cacheRead } = price;
  const amounts = [input, output, cacheWrite5m, cacheWrite1h, cacheRead].map(String);
  return [model, effectiveFrom, ...amounts, by];
}

function dollarsOf(flag: string, text: string): number {
  if (!/^\d{1,6}(?:\.\d{1,3})?$/.test(text)) {
    throw usageFailure(`${flag} takes dollars with at most three decimals, such as 3.75.`);
  }
  return Number(text);
}
