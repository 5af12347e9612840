import { runClosed } from "./closed.ts";
import type { Job, LoadFigures } from "./job.ts";
import { runOpen } from "./open.ts";
import { runStreams } from "./streams.ts";

/** The load generator, in a process of its own: takes a job, says when it is warm, and what came of it. */
process.on("message", (job: Job) => {
  run(job, () => process.send?.({ warm: true })).then(
    (figures) => process.send?.({ figures }),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on("disconnect", () => process.exit(0));
process.send?.({ ready: true });

function run(job: Job, onWarm: () => void): Promise<LoadFigures> {
  switch (job.kind) {
    case "closed":
      return runClosed(job, onWarm);
    case "open":
      return runOpen(job, onWarm);
    case "streams":
      return runStreams(job, onWarm);
  }
}
