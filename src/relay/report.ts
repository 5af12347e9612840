import type { RosterRow } from "../accounts/roster-row.ts";
import { runAfter } from "../background.ts";
import { RecentMap } from "../recent-map.ts";
import { statusMoved, type Windows, windowsMoved } from "../upstream/rate-limits.ts";
import { type Verdict, windowsOf } from "../upstream/verdict.ts";
import type { RelayCall } from "./relay-call.ts";

/** Utilisation moves with every answer; an account's object need not hear of each. */
const ROUTINE_EVERY_MS = 5_000;
/** Nor need each answer's headers be read: a warning is noticed within this time. */
const LOOK_EVERY_MS = 1_000;
const MAX_ACCOUNTS = 10_000;

/** What this isolate told the accounts' objects, so that it tells them nothing for nothing. */
export class Reported {
  /** Accounts that failed here: their next success is worth a report. */
  readonly failing = new Set<string>();
  readonly #atMs = new RecentMap<string, number>(MAX_ACCOUNTS);
  readonly #lookedAtMs = new RecentMap<string, number>(MAX_ACCOUNTS);

  /** Whether the headers of an ordinary answer are worth reading. */
  isDue(row: RosterRow, nowMs: number): boolean {
    if (row.isSuspect || this.failing.has(row.id)) return true;
    if (nowMs - (this.#lookedAtMs.get(row.id) ?? 0) < LOOK_EVERY_MS) return false;
    this.#lookedAtMs.set(row.id, nowMs);
    return true;
  }

  /** Whether an ordinary answer teaches the account anything that cannot wait. */
  isNews(row: RosterRow, windows: Windows, nowMs: number): boolean {
    if (row.isSuspect || this.failing.has(row.id)) return true;
    if (statusMoved(row.windows, windows)) return true;
    if (nowMs - (this.#atMs.get(row.id) ?? 0) < ROUTINE_EVERY_MS) return false;
    return windowsMoved(row.windows, windows);
  }

  note(row: RosterRow, isFailure: boolean, nowMs: number): void {
    if (isFailure) this.failing.add(row.id);
    else this.failing.delete(row.id);
    this.#atMs.set(row.id, nowMs);
  }
}

/**
 * Tells an account what its answer taught, if anything, off the path.
 *
 * @param headers of the answer; null where there was none, or where they were reported already
 */
export function report(
  { services, ctx, family, requestId }: RelayCall,
  row: RosterRow,
  verdict: Verdict,
  headers: Headers | null,
): void {
  const atMs = Date.now();
  const { reported } = services;
  const isRoutine = verdict.kind === "served" || verdict.kind === "passed";
  if (isRoutine && !reported.isDue(row, atMs)) return;
  const windows: Windows = headers === null ? {} : windowsOf(headers, family, atMs);
  if (isRoutine && !reported.isNews(row, windows, atMs)) return;
  reported.note(row, !isRoutine, atMs);
  const told = services
    .account(row.id)
    .report({ verdict, family, windows, atMs })
    .then((changed) => {
      if (changed !== null) services.roster.patch(changed);
    });
  runAfter(ctx, services.log, "report to account", told, { requestId, accountId: row.id });
}
