import type { TestProject } from "vitest/node";
import { browserPath } from "./browser-path.ts";

declare module "vitest" {
  interface ProvidedContext {
    browserPath: string;
  }
}

/** Before any test: none of them pays for finding or unpacking the browser. */
export default async function setup(project: TestProject): Promise<void> {
  project.provide("browserPath", await browserPath());
}
