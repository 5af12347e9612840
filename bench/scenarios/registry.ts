import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Scenario } from "./scenario.ts";

/** Files of this folder that are no scenarios of their own. */
const OTHERS = new Set(["registry.ts", "scenario.ts", "answered-load.ts", "requests.ts"]);

/** All scenarios, in their order: a file in this folder is enough to add one. */
export async function scenarios(): Promise<Scenario[]> {
  const files = readdirSync(import.meta.dirname).filter(
    (name) => name.endsWith(".ts") && !OTHERS.has(name),
  );
  const found = await Promise.all(
    files.map(async (file) => {
      const module = (await import(join(import.meta.dirname, file))) as { default: Scenario };
      return module.default;
    }),
  );
  return found.sort((a, b) => a.order - b.order);
}
