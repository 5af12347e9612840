import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { commandOf, procPids } from "./process-table.ts";

/** The state of a listening socket in /proc/net/tcp. */
const LISTENING = "0A";

/**
 * Who listens on a TCP port of this machine, for a person to read. Known on Linux only, and only
 * for processes of the same user.
 */
export function portHolder(port: number): string | null {
  if (process.platform !== "linux") return null;
  const sockets = ["tcp", "tcp6"].flatMap((table) => listeningSockets(table, port));
  const pid = procPids().find((candidate) => openFiles(candidate).some((f) => sockets.includes(f)));
  return pid === undefined ? null : `pid ${pid}, ${shortened(commandOf(pid))}`;
}

function listeningSockets(table: string, port: number): string[] {
  const hexPort = port.toString(16).toUpperCase().padStart(4, "0");
  return readLines(`/proc/net/${table}`).flatMap((line) => {
    const fields = line.trim().split(/\s+/);
    const isListening = fields[3] === LISTENING && fields[1]?.endsWith(`:${hexPort}`);
    return isListening ? [`socket:[${fields[9]}]`] : [];
  });
}

function openFiles(pid: number): string[] {
  try {
    const dir = `/proc/${pid}/fd`;
    return readdirSync(dir).map((name) => readlinkSync(`${dir}/${name}`));
  } catch {
    return []; // gone meanwhile, or of another user
  }
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split("\n");
  } catch {
    return [];
  }
}

function shortened(command: string): string {
  return command.length <= 80 ? command : `${command.slice(0, 77)}...`;
}
