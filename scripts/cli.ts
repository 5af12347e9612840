import { enableCompileCache } from "node:module";
import { COMPILE_CACHE_DIR } from "./cli/compile-cache.ts";

// Everything else is loaded after this, and so from the cache.
enableCompileCache(COMPILE_CACHE_DIR);
const { runCli } = await import("./cli/program.ts");

// A reader that has seen enough, such as `head`, closes the pipe: that is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

const exitCode = await runCli(process.argv.slice(2));
if (exitCode !== 0) process.exitCode = exitCode;
