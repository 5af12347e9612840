import { parseRosterRow, type RosterRow } from "../../src/accounts/roster-row.ts";
import { type AccountPicture, pictureKey, pictureOf } from "../../src/alerts/account-incidents.ts";
import { describeError } from "../../src/background.ts";
import type { Logger } from "../../src/log.ts";

/** What changes at the same time is looked at once: a thousand accounts are read each time. */
const LOOK_AFTER_MS = 1_000;
/** While the alerts' object does not answer. */
const RETRY_MS = 15_000;

export interface WatchDependencies {
  storage: DurableObjectStorage;
  now(): number;
  /** The roster's rows as JSON. */
  rows(): string[];
  canReachProxies(): boolean;
  /** Tells the alerts' object; may be called again with the same. Rejects where it was not heard. */
  tell(picture: Pick<AccountPicture, "incidents" | "watched">): Promise<void>;
  log: Logger;
}

/**
 * Tells how the accounts stand to whoever alerts people, whenever that has changed. The alarm, which is
 * set with the row that changed, is all that has to outlast a crash: what is told is read from the rows.
 */
export class AccountWatch {
  readonly #deps: WatchDependencies;
  /** When the alarm is set for; null: not set. Undefined until it was asked. */
  #alarmAtMs: number | null | undefined;
  /** What was told last, as far as this instance knows. */
  #told = "";

  constructor(deps: WatchDependencies) {
    this.#deps = deps;
  }

  /** @param before the row as JSON; null: there was none */
  async noteChange(before: string | null, after: RosterRow | null): Promise<void> {
    const was = before === null ? "" : pictureKey(parseRosterRow(before));
    if (was === (after === null ? "" : pictureKey(after))) return;
    await this.#wakeAt(this.#deps.now() + LOOK_AFTER_MS);
  }

  async alarm(): Promise<void> {
    this.#alarmAtMs = null;
    const { now, rows, canReachProxies, tell, log } = this.#deps;
    const { changesAtMs, ...picture } = pictureOf(
      rows().map(parseRosterRow),
      now(),
      canReachProxies(),
    );
    const text = JSON.stringify(picture);
    try {
      if (text !== this.#told) await tell(picture);
      this.#told = text;
      if (changesAtMs !== null) await this.#wakeAt(changesAtMs + 1);
    } catch (error) {
      log("warn", "alert.not_told", { error: describeError(error) });
      await this.#wakeAt(now() + RETRY_MS);
    }
  }

  async #wakeAt(atMs: number): Promise<void> {
    const { storage } = this.#deps;
    if (this.#alarmAtMs === undefined) this.#alarmAtMs = await storage.getAlarm();
    if (this.#alarmAtMs !== null && this.#alarmAtMs <= atMs) return;
    this.#alarmAtMs = atMs;
    await storage.setAlarm(atMs);
  }
}
