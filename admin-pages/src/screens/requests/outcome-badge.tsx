import { wordFor } from "../../i18n/dictionary.ts";
import { requestsWords } from "../../i18n/requests.ts";
import { Badge, type Tone } from "../../ui/badge.tsx";

const TONES: Record<string, Tone> = {
  completed: "good",
  client_closed: "plain",
  unsettled: "warn",
  truncated: "bad",
  upstream_error: "bad",
  refused: "bad",
};

export function OutcomeBadge({ outcome, status }: { outcome: string; status: number | null }) {
  const hasFailed = outcome === "upstream_error" && status !== null;
  return (
    <Badge tone={TONES[outcome] ?? "plain"}>
      {wordFor(requestsWords().outcomes, outcome)}
      {hasFailed && ` ${status}`}
    </Badge>
  );
}
