import { smallDiskFaults } from "./disk.ts";
import { forwardProxyFaults } from "./forward-proxy.ts";
import { redisFaults } from "./key-store.ts";
import { outerFaults } from "./outer.ts";
import { platformFaults } from "./platform.ts";
import type { FaultGroup } from "./row.ts";

/** The fault table. */
export const FAULT_GROUPS: readonly FaultGroup[] = [
  outerFaults,
  platformFaults,
  redisFaults,
  forwardProxyFaults,
  smallDiskFaults,
];
