import { runFlood } from "./flood.ts";
import type { FloodJob } from "./job.ts";

/** The flood's clients, in a process of their own: takes a job, and says what came of it. */
process.on("message", (job: FloodJob) => {
  runFlood(job).then(
    (figures) => process.send?.({ figures }),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on("disconnect", () => process.exit(0));
process.send?.({ ready: true });
