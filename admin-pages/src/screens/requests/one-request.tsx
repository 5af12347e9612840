import { useRoute } from "preact-iso";
import { type RelayedRequest, readRequest } from "../../api/requests.ts";
import { wholeTime } from "../../format/times.ts";
import { wordFor } from "../../i18n/dictionary.ts";
import { requestsWords } from "../../i18n/requests.ts";
import { BASE } from "../../screens.ts";
import { LinkButton } from "../../ui/button.tsx";
import { CopyButton } from "../../ui/copy-button.tsx";
import { Card, Page } from "../../ui/page.tsx";
import { Empty, FailureNotice, Loading } from "../../ui/states.tsx";
import { useResource } from "../../ui/use-resource.ts";
import { IfItCameNow } from "./if-it-came-now.tsx";
import { useNames } from "./names.ts";
import { OutcomeBadge } from "./outcome-badge.tsx";
import { RequestEvents } from "./request-events.tsx";
import { RequestUse } from "./request-use.tsx";
import { RequestWalk } from "./request-walk.tsx";

/** One request: its way through the relay, what it used, and what the log says of it. */
export default function OneRequest() {
  const t = requestsWords();
  const id = useRoute().params.id ?? "";
  const { value: request, failure, reload } = useResource((s) => readRequest(id, s), [id]);
  const back = { href: `${BASE}/requests`, label: t.toRequests };
  if (request === null) {
    return (
      <Page title={t.request} back={back}>
        {failure === null ? (
          <Loading lines={8} />
        ) : failure.code === "not_found" ? (
          <NotListed id={id} />
        ) : (
          <FailureNotice failure={failure} onRetry={() => void reload()} />
        )}
      </Page>
    );
  }
  return <Found request={request} back={back} />;
}

function Found({
  request,
  back,
}: {
  request: RelayedRequest;
  back: { href: string; label: string };
}) {
  const t = requestsWords();
  const names = useNames();
  const { id, outcome, status, startedAt, keyId, model } = request;
  return (
    <Page
      title={t.request}
      back={back}
      lead={
        <div class="row">
          <span class="mono wrap">{id}</span>
          <OutcomeBadge outcome={outcome} status={status} />
          <span>{wholeTime(startedAt)}</span>
        </div>
      }
      actions={<CopyButton text={id} what={t.request} />}
    >
      <p>{wordFor(t.outcomeMeans, outcome)}</p>
      <div class="grid wide-first">
        <RequestWalk request={request} names={names} />
        <div class="stack">
          <RequestUse request={request} />
          <Facts request={request} />
        </div>
      </div>
      <RequestEvents id={id} />
      <IfItCameNow keyId={keyId} model={model} />
    </Page>
  );
}

function Facts({ request }: { request: RelayedRequest }) {
  const t = requestsWords();
  const { status, answeredModel, serviceTier, speed, inferenceGeo } = request;
  const facts = [
    [t.status, status],
    [t.answeredModel, answeredModel],
    [t.tier, serviceTier],
    [t.speed, speed],
    [t.geo, inferenceGeo],
  ] as const;
  return (
    <Card title={t.facts}>
      <dl class="facts">
        {facts.map(
          ([name, value]) =>
            value !== null && (
              <div key={name} class="fact">
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ),
        )}
      </dl>
    </Card>
  );
}

function NotListed({ id }: { id: string }) {
  const t = requestsWords();
  return (
    <Card>
      <Empty icon="search" title={t.notFoundTitle}>
        <p class="mono wrap">{id}</p>
        <p>{t.notFoundText}</p>
        <LinkButton href={`${BASE}/logs?requestId=${encodeURIComponent(id)}`}>{t.toLog}</LinkButton>
      </Empty>
    </Card>
  );
}
