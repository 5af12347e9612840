import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, inject } from "vitest";
import { projectDir } from "../../../scripts/host/project.ts";
import { Stage, type StageOptions } from "./stage.ts";

/** Starting a runtime, perhaps wrangler, a browser and a month of use, on a busy machine. */
const START_LIMIT_MS = 180_000;
/** What a page looked like where its test failed. */
const PICTURES_DIR = join(projectDir, "dist/browser-failures");

/**
 * A stage for all tests of a file. After each test its pages are judged: whatever their browsers
 * complained of, and the test did not expect, fails it.
 *
 * @param prepare what the relay is to have before the first test
 */
export function useStage(
  options: Omit<StageOptions, "browserPath"> = {},
  prepare: (stage: Stage) => Promise<void> = async () => {},
): () => Stage {
  let stage: Stage | null = null;
  const started = () => {
    if (stage === null) throw new Error("the stage has not started");
    return stage;
  };
  beforeAll(async () => {
    stage = await Stage.start({ ...options, browserPath: inject("browserPath") });
    await prepare(stage);
  }, START_LIMIT_MS);
  afterEach(async ({ task }) => {
    const folder = join(PICTURES_DIR, task.name.replace(/[^\w-]+/g, "-"));
    rmSync(folder, { recursive: true, force: true });
    const hasFailed = task.result?.state === "fail";
    const problems = (await stage?.endVisits(hasFailed ? folder : null)) ?? [];
    expect(problems, "what the browser complained of").toEqual([]);
  });
  afterAll(() => stage?.stop());
  return started;
}
