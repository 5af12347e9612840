import { useMemo, useState } from "preact/hooks";
import { useLocation, useRoute } from "preact-iso";
import { type KeyWithUsage, type NewKey, readKey } from "../../api/keys.ts";
import type { Use } from "../../api/usage.ts";
import { compact, count, dollars } from "../../format/numbers.ts";
import { commonWords } from "../../i18n/common.ts";
import { keysWords } from "../../i18n/keys.ts";
import { BASE } from "../../screens.ts";
import { Tags } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { Menu } from "../../ui/menu.tsx";
import { Card, Page } from "../../ui/page.tsx";
import { FailureNotice, Loading } from "../../ui/states.tsx";
import { UsageChart } from "../../ui/usage-chart.tsx";
import { useResource } from "../../ui/use-resource.ts";
import { keyActs } from "./key-acts.tsx";
import { KeyFacts } from "./key-facts.tsx";
import { KeyForm } from "./key-form.tsx";
import { KeyStatusBadge } from "./key-words.tsx";
import { LimitsLeft } from "./limits-left.tsx";
import { ModelUse } from "./model-use.tsx";
import { NewSecrets } from "./new-secret.tsx";
import { RotateKey } from "./rotate-key.tsx";

const REFRESH_MS = 15_000;

type Open = { kind: "form" } | { kind: "rotate" } | { kind: "secret"; key: NewKey };

/** One key: what it has used, what is left of its limits, and what can be done with it. */
export default function OneKey() {
  const t = keysWords();
  const id = useRoute().params.id ?? "";
  const { route } = useLocation();
  const { value: key, failure, reload } = useResource((s) => readKey(id, s), [id], REFRESH_MS);
  const [open, setOpen] = useState<Open | null>(null);
  const filter = useMemo(() => ({ keyId: id }), [id]);
  const close = () => setOpen(null);
  const back = { href: `${BASE}/keys`, label: t.backToKeys };
  if (key === null) {
    return (
      <Page title={t.key} back={back}>
        {failure === null ? (
          <Loading lines={8} />
        ) : (
          <FailureNotice failure={failure} onRetry={() => void reload()} />
        )}
      </Page>
    );
  }
  const acts = keyActs(key, {
    onEdit: () => setOpen({ kind: "form" }),
    onRotate: () => setOpen({ kind: "rotate" }),
    onChanged: (changed) => (changed === null ? route(back.href) : void reload()),
  });
  return (
    <Page
      title={key.name}
      back={back}
      lead={
        <div class="row">
          <KeyStatusBadge status={key.status} /> <span class="mono">{key.hint}</span>
          <Tags tags={key.tags} />
        </div>
      }
      actions={
        <>
          {key.status !== "deleted" && (
            <Button onClick={() => setOpen({ kind: "form" })}>{t.edit}</Button>
          )}
          <Menu label={commonWords().actionsFor(key.name)} items={acts} />
        </>
      }
    >
      <Sums usage={key.usage} />
      <div class="grid wide-first">
        <UsageChart filter={filter} />
        <LimitsLeft inUse={key.inUse} />
      </div>
      <div class="grid wide-first">
        <ModelUse models={key.usage.byModel} />
        <KeyFacts of={key} />
      </div>
      {open?.kind === "form" && (
        <KeyForm
          of={key}
          onClose={close}
          onCreated={close}
          onSaved={() => {
            close();
            void reload();
          }}
        />
      )}
      {open?.kind === "rotate" && (
        <RotateKey
          of={key}
          onClose={close}
          onRotated={(rotated) => {
            setOpen({ kind: "secret", key: rotated });
            void reload();
          }}
        />
      )}
      {open?.kind === "secret" && <NewSecrets keys={[open.key]} onClose={close} />}
    </Page>
  );
}

function Sums({ usage }: { usage: KeyWithUsage["usage"] }) {
  const t = keysWords();
  const figure = (label: string, use: Use) => (
    <div>
      <dt>{label}</dt>
      <dd>
        {dollars(use.cost)}
        <small>
          {count(use.requests)} {t.requests} · {compact(use.allTokens)} {t.tokens}
        </small>
      </dd>
    </div>
  );
  return (
    <Card>
      <dl class="figures">
        {figure(t.today, usage.daily)}
        {figure(t.thisMonth, usage.monthly)}
        {figure(t.allTime, usage.total)}
        <div>
          <dt>{t.inFlight}</dt>
          <dd>{count(usage.inFlight)}</dd>
        </div>
      </dl>
    </Card>
  );
}
