import type { ComponentChildren } from "preact";
import type { Attempt, RelayedRequest } from "../../api/requests.ts";
import { count } from "../../format/numbers.ts";
import { took, wholeTime } from "../../format/times.ts";
import { wordFor } from "../../i18n/dictionary.ts";
import { requestsWords } from "../../i18n/requests.ts";
import { BASE } from "../../screens.ts";
import { Card } from "../../ui/page.tsx";
import { type Names, nameIn } from "./names.ts";

/** The way of a request, step by step, and how long each part took. */
export function RequestWalk({ request, names }: { request: RelayedRequest; names: Names }) {
  const t = requestsWords();
  const { model, keyId, startedAt, attempts, firstByteMs, durationMs, outcome } = request;
  return (
    <Card title={t.walk}>
      <div class="stack">
        <Timing request={request} />
        <ol class="walk">
          <Step title={t.arrived} note={wholeTime(startedAt)}>
            <p>{t.arrivedAs(model)}</p>
            <p>
              {t.withKey} <a href={`${BASE}/keys/${keyId}`}>{nameIn(names.keys, keyId)}</a>
            </p>
          </Step>
          <Choosing request={request} names={names} />
          {attempts.map((attempt, index) => (
            <Try
              key={`${index} ${attempt.accountId}`}
              number={index + 1}
              attempt={attempt}
              names={names}
            />
          ))}
          {firstByteMs !== null && (
            <Step title={t.firstByte} tone="good">
              <p>{t.firstByteAfter(took(firstByteMs))}</p>
            </Step>
          )}
          <Step title={t.ended} tone={outcome === "completed" ? "good" : "bad"}>
            <p>
              {durationMs !== null && `${t.endedAfter(took(durationMs))} `}
              {wordFor(t.outcomeMeans, outcome)}
            </p>
          </Step>
        </ol>
      </div>
    </Card>
  );
}

function Choosing({ request, names }: { request: RelayedRequest; names: Names }) {
  const t = requestsWords();
  const { accountId, chosenBy } = request;
  if (accountId === null) return <Step title={t.nothingChosen} tone="bad" />;
  return (
    <Step title={t.chosen}>
      <p>
        <AccountLink id={accountId} names={names} />
        {chosenBy !== null && <> · {wordFor(t.chosenBy, chosenBy)}</>}
      </p>
    </Step>
  );
}

function Try({ number, attempt, names }: { number: number; attempt: Attempt; names: Names }) {
  const t = requestsWords();
  const { accountId, status, verdict, durationMs } = attempt;
  return (
    <Step
      title={t.attempt(count(number))}
      note={`${status ?? t.noAnswer} · ${took(durationMs)}`}
      tone={verdict === "served" || verdict === "ok" ? "good" : "bad"}
    >
      <p>
        <AccountLink id={accountId} names={names} /> · {wordFor(t.verdicts, verdict)}
      </p>
    </Step>
  );
}

function AccountLink({ id, names }: { id: string; names: Names }) {
  return <a href={`${BASE}/accounts/${id}`}>{nameIn(names.accounts, id)}</a>;
}

function Step({
  title,
  note,
  tone = "plain",
  children,
}: {
  title: string;
  note?: string;
  tone?: "good" | "bad" | "plain";
  children?: ComponentChildren;
}) {
  return (
    <li class={tone}>
      <div class="row spread">
        <h3>{title}</h3>
        {note !== undefined && <span class="muted small">{note}</span>}
      </div>
      {children}
    </li>
  );
}

/** Two stretches of one bar: until the first byte, and from there to the end. */
function Timing({ request: { firstByteMs, durationMs } }: { request: RelayedRequest }) {
  const t = requestsWords();
  if (durationMs === null) return null;
  const waitedMs = Math.min(firstByteMs ?? durationMs, durationMs);
  const rest = durationMs - waitedMs;
  return (
    <figure class="timing" aria-label={t.timing}>
      <svg viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">
        <rect class="rest" width="100" height="1" />
        <rect
          class="waited"
          width={durationMs === 0 ? 0 : (waitedMs / durationMs) * 100}
          height="1"
        />
      </svg>
      <figcaption class="legend">
        <span>
          <i class="swatch chart-2" /> {t.waiting} {took(waitedMs)}
        </span>
        <span>
          <i class="swatch chart-1" /> {t.streaming} {took(rest)}
        </span>
      </figcaption>
    </figure>
  );
}
