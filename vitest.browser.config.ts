import { defineConfig } from "vitest/config";

/** Tests of the panel in a real browser, against a running relay and the fake upstream. */
export default defineConfig({
  test: {
    include: ["test/browser/**/*.test.ts"],
    globalSetup: ["test/browser/harness/global-setup.ts"],
    // Each file starts a runtime and a browser of its own.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
