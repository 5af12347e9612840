import { setTimeout as sleep } from "node:timers/promises";
import { SmallDisk, whyNoSmallDisk } from "../../fixtures/small-disk.ts";
import { Stage, setUp } from "../stage.ts";
import { faultGroup } from "./row.ts";

const UNAVAILABLE = 503;

/** A relay whose state is on a small disk, as with `npm start`. */
class SmallDiskStage extends Stage {
  readonly disk: SmallDisk;

  constructor(disk: SmallDisk, parts: ConstructorParameters<typeof Stage>[0]) {
    super(parts);
    this.disk = disk;
  }

  static override async open(): Promise<SmallDiskStage> {
    const disk = new SmallDisk();
    try {
      return new SmallDiskStage(disk, await setUp({ relay: { stateIn: disk.dir } }));
    } catch (error) {
      disk.close();
      throw error;
    }
  }

  override async close(): Promise<void> {
    await super.close();
    this.disk.close();
  }
}

export const smallDiskFaults = faultGroup(
  SmallDiskStage.open,
  [
    {
      name: "disk full, then freed",
      allowed: ["refused"],
      hasAdmin: true,
      strike: async ({ disk, relay }, forMs, tell) => {
        disk.fill();
        await sleep(forMs);
        const health = await fetch(`${relay.url}/health`);
        const text = await health.text();
        disk.free();
        if (health.status !== UNAVAILABLE) tell(`/health says ${health.status} ${text}`);
      },
    },
  ],
  whyNoSmallDisk,
);
