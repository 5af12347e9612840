import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ACCOUNT_TOKEN_PREFIX } from "../upstream/credential.ts";
import { configText, quoted } from "./capnp.ts";
import { startWorkerd, type Workerd } from "./workerd.ts";

export const WORKERS_DIR = join(import.meta.dirname, "../workers");

/**
 * Starts the floor: a bare pass-through Worker on the same runtime.
 *
 * @param dir an empty folder for its config
 * @param compatibilityDate the relay's, so that both run on the same runtime behaviour
 */
export async function startFloor(
  dir: string,
  upstreamUrl: string,
  compatibilityDate: string,
): Promise<Workerd> {
  const configPath = join(dir, "floor.capnp");
  writeFileSync(
    configPath,
    configText({
      worker: {
        name: "floor",
        modules: [{ name: "floor.js", path: join(WORKERS_DIR, "floor.js") }],
        compatibilityDate,
        bindings: [
          `(name = "ANTHROPIC_API_URL", text = ${quoted(upstreamUrl)})`,
          `(name = "CREDENTIAL", text = ${quoted(`${ACCOUNT_TOKEN_PREFIX}floor`)})`,
        ],
      },
      sockets: { http: null },
      storageDir: null,
    }),
  );
  return startWorkerd(configPath, ["http"]);
}
