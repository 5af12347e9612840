import { OBJECT_CLASSES, type ObjectClass, type TroubledStage } from "../troubled-stage.ts";
import type { FaultRow } from "./row.ts";

/** Of all calls to objects of the kind. */
const THROWS = 0.2;
const UNREACHED = 0.2;
/** Of a busy object, so many each second that it is hardly ever an old one. */
const EVICTED = 0.1;

const throwing = (className: ObjectClass): FaultRow<TroubledStage> => ({
  name: `objects: ${className} throws`,
  allowed: ["refused"],
  hasAdmin: true,
  strike: (stage, forMs) =>
    stage.suffer({ objects: { [className]: { throws: THROWS, unreached: UNREACHED } } }, forMs),
});

const evicted = (className: ObjectClass): FaultRow<TroubledStage> => ({
  name: `objects: ${className} evicted again and again`,
  allowed: ["refused"],
  hasAdmin: true,
  strike: (stage, forMs) => stage.suffer({ objects: { [className]: { evicted: EVICTED } } }, forMs),
});

export const OBJECT_ROWS = [...OBJECT_CLASSES.map(throwing), ...OBJECT_CLASSES.map(evicted)];
