import { setTimeout as sleep } from "node:timers/promises";
import { AdminLoad } from "./admin-load.ts";
import { Load, type Seen, type Sight } from "./load.ts";
import type { FaultRow } from "./rows/row.ts";
import type { Stage } from "./stage.ts";

export interface RowFigures {
  name: string;
  seen: readonly Seen[];
  /** From the end of the fault until every client has had a whole answer; null: it did not come to that. */
  recoveredAfterMs: number | null;
  /** What was seen and was not allowed. */
  wrong: readonly Seen[];
  /** What an admin did meanwhile, and was refused; null where none acted. */
  admin: { done: number; refused: number } | null;
  /** What is not as it should be besides, in words. */
  problems: readonly string[];
}

const CLIENTS = 12;
const BEFORE_MS = 300;
/** An account whose breaker opened twice rests for twenty seconds, and is then tried once. */
const RECOVERS_WITHIN_MS = 60_000;
const POLL_MS = 50;
/** Always allowed; and whatever is under way while a fault ends may still show it. */
const ALWAYS: readonly Sight[] = ["whole"];

/** Plays one row under load, and waits until the relay has recovered. */
export async function play<S extends Stage>(
  stage: S,
  row: FaultRow<S>,
  forMs: number,
): Promise<RowFigures> {
  const clients = row.load?.clients ?? CLIENTS;
  const { relay, keys, isUp } = stage;
  const load = new Load(row.name, { relay, keys, isUp, ...row.load, clients });
  const problems: string[] = [];
  const admin = row.hasAdmin === true ? new AdminLoad(relay) : null;
  await sleep(BEFORE_MS);
  await row.strike(stage, forMs, (problem) => problems.push(problem));
  const endedAtMs = Date.now();
  const isOwnDoing = row.load?.leaving !== undefined;
  // Who leaves by himself has no whole answers: others show that the relay is well.
  if (isOwnDoing) await load.stop();
  const after = isOwnDoing ? new Load(row.name, { relay, keys, isUp, clients: 4 }) : load;
  const recoveredAfterMs = await recovery(after, isOwnDoing ? 4 : clients, endedAtMs);
  await Promise.all([load.stop(), after.stop(), admin?.stop()]);
  const seen = isOwnDoing ? [...load.seen, ...after.seen] : load.seen;
  const allowed = [...ALWAYS, ...row.allowed];
  return {
    name: row.name,
    seen,
    recoveredAfterMs,
    wrong: seen.filter(({ sight }) => !allowed.includes(sight)),
    admin,
    problems: [...problems, ...(admin?.problems ?? [])],
  };
}

/** Until as many whole answers have come to requests that began after the fault as there are clients. */
async function recovery(load: Load, clients: number, endedAtMs: number): Promise<number | null> {
  const giveUpAtMs = Date.now() + RECOVERS_WITHIN_MS;
  while (Date.now() < giveUpAtMs) {
    const good = load.seen.filter(
      ({ sight, beganAtMs }) => sight === "whole" && beganAtMs >= endedAtMs,
    );
    const nth = good.sort((a, b) => a.endedAtMs - b.endedAtMs)[clients - 1];
    if (nth !== undefined) return nth.endedAtMs - endedAtMs;
    await sleep(POLL_MS);
  }
  return null;
}
