import { readConfig } from "./config.ts";
import { makeLog } from "./log.ts";
import { startService } from "./service.ts";

const MISCONFIGURED_EXIT = 78;

const config = readConfig(process.env);
if (!config.ok) {
  for (const problem of config.error) process.stderr.write(`${problem}\n`);
  process.exit(MISCONFIGURED_EXIT);
}
const log = makeLog(config.value.logLevel);
const service = await startService(config.value, log);
log("info", "listening", { port: service.port, metricsPort: service.metricsPort });

let isEnding = false;
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.on(signal, () => {
    // Asked twice: now.
    if (isEnding) process.exit(1);
    isEnding = true;
    log("info", "draining", {});
    void service.drain().then((hasFinished) => {
      log(hasFinished ? "info" : "warn", "stopped", { allFinished: hasFinished });
      process.exit(0);
    });
  });
}
