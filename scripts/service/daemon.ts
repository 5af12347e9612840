// `npm start` in the background: its output goes to a file, which is kept within bounds.
import { boundOutput } from "./log-file.ts";

const [logFile] = process.argv.splice(2, 1);
if (logFile === undefined) throw new Error("daemon.ts <log file>");
boundOutput(logFile);
await import("../start.ts");
