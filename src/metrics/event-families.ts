import type { EventCount } from "../../durable-objects/event-log/contract.ts";
import type { Family, Sample } from "./exposition.ts";

/** What each event says of a refresh. Those of a re-login came after a refresh that was refused. */
const REFRESH_RESULTS: Readonly<Record<string, string>> = {
  "account.refreshed": "refreshed",
  "account.refresh_failed": "failed",
  "account.refresh_impossible": "impossible",
  "account.needs_relogin": "needs_relogin",
};

/** Events that were summed up over several causes. */
const SEVERAL_CAUSES = "several";

/** What the event log counted since its beginning, of what `LOG_LEVEL` lets through. */
export function eventFamilies(counts: readonly EventCount[]): Family[] {
  const byEvent = new Map<string, number>();
  const refreshes = new Map<string, number>();
  const refusals: Sample[] = [];
  for (const { event, reason, times } of counts) {
    add(byEvent, event, times);
    const result = REFRESH_RESULTS[event];
    if (result !== undefined) add(refreshes, result, times);
    if (event === "request.refused") {
      refusals.push({ labels: { cause: reason || SEVERAL_CAUSES }, value: times });
    }
  }
  return [
    {
      name: "relay_refusals_total",
      type: "counter",
      help: "Requests that the relay itself refused, by cause, as far as they were logged.",
      samples: refusals,
    },
    {
      name: "relay_refreshes_total",
      type: "counter",
      help: "Refreshes of access tokens by result, as far as they were logged.",
      samples: samplesOf(refreshes, "result"),
    },
    {
      name: "relay_events_total",
      type: "counter",
      help: "Events that were logged, by name.",
      samples: samplesOf(byEvent, "event"),
    },
  ];
}

function add(sums: Map<string, number>, name: string, times: number): void {
  sums.set(name, (sums.get(name) ?? 0) + times);
}

function samplesOf(sums: ReadonlyMap<string, number>, label: string): Sample[] {
  return [...sums].map(([name, value]) => ({ labels: { [label]: name }, value }));
}
