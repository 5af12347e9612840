import { waitUntil } from "cloudflare:workers";
import { EVENT_LOG_NAME } from "../../durable-objects/event-log/contract.ts";
import { callObject, remote } from "../durable-call.ts";
import { EventSink } from "./event-sink.ts";
import type { EventNote } from "./log-event.ts";

const sinks = new WeakMap<Env, EventSink>();

/** The way to the event log that everything in this isolate shares, in Workers and objects alike. */
export function eventNoteOf(env: Env): EventNote {
  let sink = sinks.get(env);
  if (sink === undefined) {
    const eventLog = () => remote(env.EVENT_LOG, EVENT_LOG_NAME);
    sink = new EventSink({
      deliver: (batch) => callObject(eventLog, (log) => log.append(batch)),
      keepAlive: waitUntil,
      wait: (ms) => scheduler.wait(ms),
      now: Date.now,
    });
    sinks.set(env, sink);
  }
  const known = sink;
  return (event) => known.note(event);
}
