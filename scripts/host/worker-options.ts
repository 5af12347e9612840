import { writeFileSync } from "node:fs";
import {
  unstable_getMiniflareWorkerOptions as miniflareWorkerOptions,
  unstable_readConfig as readWranglerConfig,
} from "wrangler";

// Run as a child by bundle.ts: loading wrangler takes over a second, and it would read .dev.vars
// into the options. So what a start needs from wrangler.toml is worked out once, at the build.
const [configPath, outFile] = process.argv.slice(2);
if (configPath === undefined || outFile === undefined) {
  throw new Error("worker-options.ts <wrangler.toml> <out.json>");
}
const config = readWranglerConfig({ config: configPath });
const { workerOptions, externalWorkers } = miniflareWorkerOptions(configPath);
if (externalWorkers.length > 0) {
  throw new Error(`${configPath} binds other Workers, which a relay on one machine cannot start`);
}
writeFileSync(
  outFile,
  JSON.stringify({ ...workerOptions, name: config.name, bindings: config.vars }, null, 2),
);
