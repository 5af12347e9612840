import { ok } from "../../../../src/result.ts";
import type { Answer } from "../../api/client.ts";
import { type MeteredRequest, readKeyRequests } from "../../api/keys.ts";
import { readRequests } from "../../api/usage.ts";
import { took } from "../../format/times.ts";
import { startWords } from "../../i18n/start.ts";
import { BASE } from "../../screens.ts";
import { LinkButton } from "../../ui/button.tsx";
import { FailureNotice, Notice } from "../../ui/states.tsx";
import { useResource } from "../../ui/use-resource.ts";

/** Someone looks and waits: a look costs one short call. */
const LOOK_EVERY_MS = 1_500;
/** The first tries may fail, and the one that succeeds is to be found behind them. */
const LOOKED_AT = 5;

type Seen = Pick<MeteredRequest, "state" | "outcome" | "model" | "status" | "durationMs">;

/**
 * Waits for a request, and tells how it went.
 *
 * @param keyId the key whose meter is asked, which knows a request at once; null: the ledger, which
 *   has it some seconds after its end
 */
export function FirstRequest({ keyId }: { keyId: string | null }) {
  const t = startWords();
  const { value, failure, reload } = useResource(
    (signal) => newest(keyId, signal),
    [keyId],
    LOOK_EVERY_MS,
  );
  if (failure !== null) return <FailureNotice failure={failure} onRetry={() => void reload()} />;
  const requests = value ?? [];
  const arrived = requests.find(({ outcome }) => outcome === "completed");
  const [last] = requests;
  return (
    <div class="waiting" role="status">
      {arrived !== undefined ? (
        <Notice tone="good">
          <strong>{t.arrived}</strong>
          <p>{t.arrivedText(arrived.model, took(arrived.durationMs ?? 0))}</p>
          <div class="row">
            {keyId !== null && (
              <LinkButton kind="primary" href={`${BASE}/keys/${keyId}`}>
                {t.toKeys}
              </LinkButton>
            )}
            <LinkButton href={`${BASE}/accounts`}>{t.toAccounts}</LinkButton>
          </div>
        </Notice>
      ) : last === undefined || last.state === "open" ? (
        <div class="row">
          <span class="spinner" />
          <strong>{last === undefined ? t.waiting : t.underWay}</strong>
          <span class="muted">{t.waitingText}</span>
        </div>
      ) : (
        <Notice tone="warn">
          <strong>{t.failed}</strong>
          <p>{t.failedText(String(last.status ?? "–"))}</p>
        </Notice>
      )}
    </div>
  );
}

async function newest(keyId: string | null, signal: AbortSignal): Promise<Answer<Seen[]>> {
  if (keyId !== null) {
    const answer = await readKeyRequests(keyId, LOOKED_AT, signal);
    return answer.ok ? ok(answer.value.requests.map(named)) : answer;
  }
  const answer = await readRequests({ limit: LOOKED_AT }, signal);
  return answer.ok
    ? ok(answer.value.requests.map((each) => ({ ...each, state: "settled" })))
    : answer;
}

/** By the name with which upstream answered, where it did. */
function named(request: MeteredRequest): Seen {
  return { ...request, model: request.answeredModel ?? request.model };
}
