import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

/** Less than a picture: a phone on a slow line has it in about a second. */
export const FIRST_VIEW_MAX_BYTES = 120_000;
/** Where the page says that it lies. */
const BASE = "/web/";
const SCRIPT = /<script\b[^>]*\bsrc="([^"]+)"/g;
const PRELOAD = /<link\b[^>]*\brel="modulepreload"[^>]*\bhref="([^"]+)"/g;
/** What a script takes in before it runs, as Vite writes it. Those that it may load later are calls. */
const IMPORT = /(?:\bfrom|\bimport)\s*["'](\.\/[^"']+)["']/g;

export interface FirstView {
  /** Relative to the panel's folder. */
  scripts: string[];
  /** Compressed one by one, as they travel. */
  scriptBytes: number;
}

/**
 * What a browser has to load of scripts before it can show anything.
 *
 * @param folder that of the built page
 */
export function firstViewOf(folder: string): FirstView {
  const page = readFileSync(join(folder, "index.html"), "utf8");
  const named = [SCRIPT, PRELOAD].flatMap((pattern) =>
    [...page.matchAll(pattern)].map(([, src = ""]) => src.slice(BASE.length)),
  );
  const scripts = new Set(named);
  let scriptBytes = 0;
  for (const name of scripts) {
    const text = readFileSync(join(folder, name));
    scriptBytes += gzipSync(text).byteLength;
    for (const [, target = ""] of text.toString("utf8").matchAll(IMPORT)) {
      // A set goes on with what is added to it meanwhile.
      scripts.add(join(name, "..", target));
    }
  }
  return { scripts: [...scripts], scriptBytes };
}
