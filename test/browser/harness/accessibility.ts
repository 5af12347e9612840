import axe, { type AxeResults } from "axe-core";
import type { Page } from "playwright-core";

const GRAVE = new Set(["serious", "critical"]);

/**
 * What axe-core finds on a page as it is now, and calls serious or critical: a line for each place.
 * It runs beside the page's own scripts, so the page's policy stays as it is.
 */
export async function accessibilityProblems(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations } = (await page.evaluate(
    "axe.run(document, { resultTypes: ['violations'] })",
  )) as AxeResults;
  return violations
    .filter(({ impact }) => GRAVE.has(impact ?? ""))
    .flatMap(({ id, help, nodes }) =>
      nodes.map(({ target, failureSummary = "" }) => {
        const [, why = ""] = failureSummary.split("\n");
        return `${id} (${help}) at ${target.join(" ")}: ${why.trim()}`;
      }),
    );
}
