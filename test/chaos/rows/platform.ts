import { TroubledStage } from "../troubled-stage.ts";
import { CLOCK_ROW } from "./clock.ts";
import { KV_ROWS } from "./key-store.ts";
import { OBJECT_ROWS } from "./objects.ts";
import { faultGroup } from "./row.ts";

/** What the platform does to the relay. The clock comes last: it never goes back by as much. */
export const platformFaults = faultGroup(TroubledStage.open, [
  ...OBJECT_ROWS,
  ...KV_ROWS,
  CLOCK_ROW,
]);
