import { defineConfig } from "vitest/config";

/** Tests in plain Node, against a running relay and the fake upstream. */
export default defineConfig({
  test: {
    include: [
      "test/integration/**/*.test.ts",
      "test/clients/**/*.test.ts",
      "test/panel/**/*.test.ts",
    ],
    // Each file starts a runtime of its own; on two cores more than two at once only wait.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
