import { useState } from "preact/hooks";
import { type Explanation, explain } from "../../api/requests.ts";
import { count } from "../../format/numbers.ts";
import { accountStanding } from "../../i18n/account-standing.ts";
import { wordFor } from "../../i18n/dictionary.ts";
import { requestsWords } from "../../i18n/requests.ts";
import { Badge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { DataTable } from "../../ui/data-table.tsx";
import { Card } from "../../ui/page.tsx";
import { Notice } from "../../ui/states.tsx";
import { useResource } from "../../ui/use-resource.ts";

/** Which account such a request would meet now, asked for by a button: the relay reckons it anew. */
export function IfItCameNow({ keyId, model }: { keyId: string; model: string }) {
  const t = requestsWords();
  const [isOpen, setOpen] = useState(false);
  return (
    <Card title={t.explainTitle} isFlush={isOpen}>
      {isOpen ? (
        <Answer keyId={keyId} model={model} />
      ) : (
        <div class="row spread">
          <p class="muted">{t.explainLead}</p>
          <Button onClick={() => setOpen(true)}>{t.explain}</Button>
        </div>
      )}
    </Card>
  );
}

function Answer({ keyId, model }: { keyId: string; model: string }) {
  const t = requestsWords();
  const { value, failure, reload } = useResource(
    (signal) => explain(keyId, model, signal),
    [keyId, model],
  );
  return (
    <>
      {value !== null && <Verdict explanation={value} />}
      <DataTable
        caption={t.explainCaption}
        rows={value?.accounts ?? null}
        keyOf={({ id }) => id}
        failure={failure}
        onRetry={() => void reload()}
        empty={null}
        columns={[
          { id: "account", head: t.account, isMain: true, cell: ({ name }) => name },
          {
            id: "standing",
            head: t.standing,
            cell: ({ standing }) => (
              <Badge tone={standing === "ready" ? "good" : "warn"}>
                {wordFor(accountStanding().standings, standing)}
              </Badge>
            ),
          },
          { id: "because", head: t.because, cell: ({ because }) => because },
          {
            id: "priority",
            head: t.priority,
            isNumber: true,
            isExtra: true,
            cell: ({ priority }) => count(priority),
          },
        ]}
      />
    </>
  );
}

function Verdict({ explanation: { chosen } }: { explanation: Explanation }) {
  const t = requestsWords();
  if (chosen === null) return <Notice tone="bad">{t.noneWouldServe}</Notice>;
  return (
    <Notice tone="good">
      {t.wouldServe(chosen.name)} {wordFor(t.chosenBy, chosen.by)}
    </Notice>
  );
}
