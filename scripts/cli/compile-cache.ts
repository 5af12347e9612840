import { join } from "node:path";

/**
 * Where compiled code is kept, beside the packages that most of it comes from: the next command
 * starts in half the time. Not in the common folder for temporary files, where others might leave
 * code to be run.
 */
export const COMPILE_CACHE_DIR = join(import.meta.dirname, "../../node_modules/.cache/node");
