import { once } from "node:events";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { EventPage, StoredEvent } from "../../durable-objects/event-log/contract.ts";
import { CATEGORIES, LEVELS } from "../../src/events/log-event.ts";
import type { AdminClient } from "./admin-client.ts";
import { contextOf, examples, PROGRAM } from "./command-context.ts";
import { eventLine } from "./event-line.ts";
import { followLog } from "./live-log.ts";
import { print, say } from "./terminal.ts";

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 50_000;
/** The most that one page of the API has. */
const PAGE_MAX = 500;

interface LogFlags {
  level?: string;
  category?: string[];
  request?: string;
  limit: number;
  follow?: boolean;
}

/** `logs`: what the relay has logged, and what it logs as it happens. */
export function logsCommand(program: Command): void {
  program
    .command("logs")
    .description("the newest events of the relay's log, the oldest of them first")
    .addOption(new Option("--level <level>", "only this level and those above it").choices(LEVELS))
    .addOption(new Option("--category <names...>", "only these categories").choices(CATEGORIES))
    .option("--request <id>", "only one request, by its x-relay-request-id")
    .option("--limit <number>", "how many events, at most", readLimit, DEFAULT_LIMIT)
    .option("--follow", "go on with what comes, until Ctrl-C")
    .addHelpText(
      "after",
      `
With --json each event is a line of its own. What else there is to say goes to standard error.
${examples(
  `${PROGRAM} logs --level warn --limit 200`,
  `${PROGRAM} logs --follow --category account admin`,
  `${PROGRAM} logs --request rly_01k...`,
)}`,
    )
    .action(async (flags: LogFlags, command: Command) => {
      const { api, json } = contextOf(command);
      const show = (events: readonly StoredEvent[]) => {
        for (const event of events) print(json ? JSON.stringify(event) : eventLine(event));
      };
      const filter = filterOf(flags);
      const { events, newestId } = await newestEvents(api, filter, flags.limit);
      show(events);
      if (!flags.follow) {
        if (events.length === 0 && !json) say(NOTHING);
        return;
      }
      await followLog(api, {
        filter,
        after: newestId,
        signal: endingSignal(),
        onNotice: say,
        onEvents: async (arrived) => {
          show(arrived);
          if (process.stdout.writableNeedDrain) await once(process.stdout, "drain");
        },
      });
    });
}

const NOTHING = "No such event is in the log. LOG_LEVEL says which levels the relay keeps.";

function filterOf({ level, category, request }: LogFlags): Record<string, string> {
  return {
    ...(level === undefined ? {} : { level }),
    ...(category === undefined ? {} : { category: category.join(",") }),
    ...(request === undefined ? {} : { requestId: request }),
  };
}

/** The newest events, the oldest of them first, and where a live log goes on. */
async function newestEvents(
  api: AdminClient,
  filter: Record<string, string>,
  limit: number,
): Promise<{ events: StoredEvent[]; newestId: number }> {
  const events: StoredEvent[] = [];
  let newestId: number | null = null;
  let before: number | null = null;
  do {
    const query = new URLSearchParams({
      ...filter,
      limit: String(Math.min(PAGE_MAX, limit - events.length)),
      ...(before === null ? {} : { before: String(before) }),
    });
    const page: EventPage = await api.call<EventPage>("GET", `/admin/logs?${query}`);
    events.push(...page.events);
    // Of the first page: what came while the others were read comes over the live log.
    newestId ??= page.newestId;
    before = page.next;
  } while (before !== null && events.length < limit);
  return { events: events.reverse(), newestId };
}

/** Ctrl-C, or a request to end. */
function endingSignal(): AbortSignal {
  const ending = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => ending.abort());
  }
  return ending.signal;
}

function readLimit(text: string): number {
  const limit = Number(text);
  if (!/^\d+$/.test(text) || limit < 1 || limit > MAX_LIMIT) {
    throw new InvalidArgumentError(`Give a whole number from 1 to ${MAX_LIMIT}.`);
  }
  return limit;
}
