import { EVENT_LOG_NAME } from "../../durable-objects/event-log/contract.ts";
import { describeError } from "../background.ts";
import { callObject, remote } from "../durable-call.ts";
import type { AdminContext } from "./envelope.ts";

/** The trail could not be written, so the act did not happen. */
export class AuditUnavailable extends Error {
  override readonly name = "AuditUnavailable";
}

export interface Act<T> {
  result: T;
  /** False where the act was refused after all, or failed. */
  done: boolean;
}

/**
 * Carries out an admin act between two lines of the audit trail. Where the first line cannot be
 * written, the act does not happen.
 */
export async function audited<T>(
  c: AdminContext,
  action: string,
  target: string | null,
  detail: Record<string, unknown>,
  perform: () => Promise<Act<T>>,
): Promise<T> {
  const actor = c.get("admin").name;
  const id = await callObject(
    () => eventLog(c.env),
    (log) => log.begin({ actor, action, target, detail }),
  ).catch((cause: unknown) => {
    throw new AuditUnavailable("the audit trail cannot be written", { cause });
  });
  const { log } = c.get("services");
  const requestId = c.get("requestId");
  const finish = async (done: boolean) => {
    log(done ? "info" : "warn", "admin.acted", {
      requestId,
      ...idOf(action, target),
      ...{ actor, action, outcome: done ? "done" : "failed" },
    });
    try {
      await callObject(
        () => eventLog(c.env),
        (log) => log.finish(id, done ? "done" : "failed"),
      );
    } catch (error) {
      // The act is over. Its line says "begun": that it is not known whether it took effect.
      log("error", "audit.unfinished", { requestId, auditId: id, error: describeError(error) });
    }
  };
  let act: Act<T>;
  try {
    act = await perform();
  } catch (error) {
    await finish(false);
    throw error;
  }
  await finish(act.done);
  return act.result;
}

/** What was acted on, under the name that other lines have it by. */
function idOf(action: string, target: string | null): Record<string, string> {
  if (target === null) return {};
  if (action.startsWith("key.")) return { keyId: target };
  return action.startsWith("account.") ? { accountId: target } : { target };
}

export function eventLog(env: Env) {
  return remote(env.EVENT_LOG, EVENT_LOG_NAME);
}
