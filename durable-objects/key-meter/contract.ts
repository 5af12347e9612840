import type { KeyLimits } from "../../src/keys/key-limits.ts";
import type { KeyPolicy, PolicyRefusal } from "../../src/keys/key-record.ts";
import type { StoredKey } from "../../src/keys/key-store.ts";
import type { LimitRefusal } from "../../src/keys/limit-refusal.ts";
import type { Settlement } from "../../src/relay/settlement.ts";
import type { Result } from "../../src/result.ts";
import type { LimitsInUse } from "./limiter.ts";
import type { UsageReport, UsageSums } from "./usage-report.ts";

/** What a request shows of its key. */
export interface KeyUse {
  /** The key's policy as the Worker read it; the meter keeps the newest it has seen. */
  policy: KeyPolicy;
  /** Which secret was shown. */
  mark: string;
  /** Null where no model is asked for. */
  model: string | null;
}

export interface Admission extends Omit<KeyUse, "policy"> {
  /** Null: as the meter knows it, since this isolate told it before. */
  policy: KeyPolicy | null;
  requestId: string;
  model: string;
  /** The message that a thread request continues, if any. */
  previousMessageId: string | null;
  session: string | null;
  /** The account that a session which is on none yet would go to; null where that is not known. */
  accountId: string | null;
}

export interface Admitted {
  /** The account that made the message that the request continues; null where that is not known. */
  threadAccountId: string | null;
  /** The account that the session is on; null where there is none. */
  pinnedTo: string | null;
  /** So much runs at once that the next one may be waiting for this one's end. */
  isTight: boolean;
}

/** Whether a request was let in. */
export type AdmissionAnswer = Result<Admitted, PolicyRefusal | LimitRefusal>;

/** What one isolate has for a meter at one moment: one call carries it all. */
export interface MeterBatch {
  settlements: Settlement[];
  admissions: Admission[];
}

/** What the holder of a key is told of its use. */
export interface MeterReport extends UsageReport {
  limits: KeyLimits;
  inUse: LimitsInUse;
  /** When the key was first used; null: not yet. */
  activatedAtMs: number | null;
}

/** What a key did before it came here. */
export interface PastUse {
  usage: (UsageSums & { model: string })[];
  activatedAtMs: number | null;
}

/** A key as its meter knows it. */
export interface LatestKey {
  stored: StoredKey | null;
  activatedAtMs: number | null;
}
