import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { projectDir } from "../../scripts/host/project.ts";
import { accessibilityProblems } from "./harness/accessibility.ts";
import { pathOf, SCREENS, settled } from "./harness/screens.ts";
import { type Furniture, furnish } from "./harness/seed.ts";
import { HOSTS, THEMES } from "./harness/stage.ts";
import { useStage } from "./harness/use-stage.ts";

let furniture: Furniture;
const stage = useStage({ hosts: HOSTS }, async ({ relay }) => {
  furniture = await furnish(relay);
});

const emptyStage = useStage();

test("every screen of the panel is in the list that is gone through", () => {
  const source = readFileSync(join(projectDir, "admin-pages/src/screens.ts"), "utf8");
  const routes = [...source.matchAll(/\bpath: "([^"]+)"/g)].map(([, path]) => path);
  const listed = SCREENS.map(({ route }) => route).filter((route) => route !== null);
  expect(listed.sort()).toEqual(routes.sort());
});

describe.each(SCREENS)("$name", (screen) => {
  const open = async (options: Parameters<ReturnType<typeof stage>["visit"]>[0]) => {
    const visit = await stage().visit({
      path: pathOf(screen, furniture),
      signedIn: screen.signedIn ?? true,
      ...options,
    });
    await settled(visit.page);
    await screen.arrange?.(visit.page, furniture);
    return visit;
  };

  test.each(THEMES)("has nothing that keeps people out, in the %s theme", async (theme) => {
    for (const device of ["desktop", "phone"] as const) {
      const { page } = await open({ theme, device });
      expect(await accessibilityProblems(page), device).toEqual([]);
    }
  });

  test("fits a phone: nothing sticks out at its side", async () => {
    const { page } = await open({ device: "phone", language: "zh" });
    const [content = 0, width = 0] = await page.evaluate(() => [
      document.documentElement.scrollWidth,
      document.documentElement.clientWidth,
    ]);
    expect(content).toBeLessThanOrEqual(width);
  });

  test("opens on Pages as it does beside the relay", async () => {
    const titles: string[] = [];
    for (const host of HOSTS) {
      const { page } = await open({ host });
      titles.push((await page.locator("h1").first().textContent()) ?? "");
      expect(new URL(page.url()).origin).toBe(stage().origin(host));
    }
    expect(titles[1]).toBe(titles[0]);
  });
});

describe("on a relay that has nothing yet", () => {
  test.each(SCREENS.filter(({ path }) => path === undefined))(
    "$name says so, without a complaint and open to all",
    async (screen) => {
      for (const theme of THEMES) {
        const { page } = await emptyStage().visit({
          path: pathOf(screen, null),
          signedIn: screen.signedIn ?? true,
          theme,
        });
        await settled(page);
        expect(await accessibilityProblems(page), theme).toEqual([]);
      }
    },
  );
});
