/** How many tests of a suite passed and failed. */
export interface Tally {
  passed: number;
  failed: number;
}

/**
 * Adds up Vitest's JSON report. Whatever kept a test from running counts as a failure of its own:
 * a file that could not be loaded, an error outside any test, a suite that crashed.
 *
 * @param report null where the suite left none
 * @param exitedWell whether Vitest itself was content
 */
export function tallyOf(report: unknown, exitedWell: boolean): Tally {
  const passed = countOf(report, "numPassedTests");
  const failed = countOf(report, "numFailedTests") + brokenFiles(report);
  if (report === null) return { passed: 0, failed: 1 };
  return { passed, failed: failed === 0 && !exitedWell ? 1 : failed };
}

/** Files that failed without a single test in them. */
function brokenFiles(report: unknown): number {
  const files = fieldOf(report, "testResults");
  if (!Array.isArray(files)) return 0;
  return files.filter((file: unknown) => {
    const tests = fieldOf(file, "assertionResults");
    const hasFailedTest =
      Array.isArray(tests) && tests.some((test: unknown) => fieldOf(test, "status") === "failed");
    return fieldOf(file, "status") === "failed" && !hasFailedTest;
  }).length;
}

function countOf(report: unknown, name: string): number {
  const value = fieldOf(report, name);
  return typeof value === "number" ? value : 0;
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}
