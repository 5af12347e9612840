import type { ModelFamily } from "../upstream/model-names.ts";
import type { CostPeriod } from "./key-limits.ts";

/** Why a limit refuses a request now. Costs are nano-dollars. */
export type LimitRefusal =
  | { kind: "concurrency_reached"; limit: number }
  | {
      kind: "window_reached";
      measure: "requests" | "tokens" | "cost";
      limit: number;
      minutes: number;
      /** When a request would pass; null: never, the limit is 0. */
      freeAtMs: number | null;
    }
  | {
      kind: "spend_limit_reached";
      period: CostPeriod;
      /** Set where the limit counts one model family only. */
      family: ModelFamily | null;
      limit: number;
      /** When the period ends; null: never, it is the total or the limit is 0. */
      resetAtMs: number | null;
    };
