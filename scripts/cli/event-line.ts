import { styleText } from "node:util";
import type { StoredEvent } from "../../durable-objects/event-log/contract.ts";
import { shortId } from "./reference.ts";
import { plain } from "./text-width.ts";

const LEVEL_WIDTH = 5;
const COLOURS = { debug: "dim", info: "green", warn: "yellow", error: "red" } as const;

/** An event on one line: when, how bad, what, whose, and what else there is to it. */
export function eventLine(event: StoredEvent): string {
  const { at, level, requestId, keyId, accountId, detail } = event;
  const ids = {
    ...(accountId === null ? {} : { account: shortId(accountId) }),
    ...(keyId === null ? {} : { key: shortId(keyId) }),
    ...(requestId === null ? {} : { request: requestId }),
  };
  return [
    styleText("dim", timeText(at)),
    styleText(COLOURS[level], level.toUpperCase().padEnd(LEVEL_WIDTH)),
    plain(event.event),
    ...Object.entries({ ...detail, ...ids }).map(([name, value]) => {
      return `${styleText("dim", `${plain(name)}=`)}${valueText(value)}`;
    }),
  ].join(" ");
}

/** "2026-11-23 12:00:01.123", in UTC. */
function timeText(iso: string): string {
  return plain(iso).replace("T", " ").replace("Z", "");
}

function valueText(value: string | number | boolean | null): string {
  if (typeof value !== "string") return String(value);
  const text = plain(value);
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text);
}
