import { useState } from "preact/hooks";
import {
  readAlerts,
  removeWebhook,
  testWebhook,
  updateWebhook,
  type Webhook,
} from "../../api/alerts.ts";
import type { Answer } from "../../api/client.ts";
import { alertsWords } from "../../i18n/alerts.ts";
import { commonWords } from "../../i18n/common.ts";
import { wordFor } from "../../i18n/dictionary.ts";
import { Button } from "../../ui/button.tsx";
import { confirm } from "../../ui/confirm.tsx";
import { DataTable } from "../../ui/data-table.tsx";
import { Menu } from "../../ui/menu.tsx";
import { Card } from "../../ui/page.tsx";
import { Empty } from "../../ui/states.tsx";
import { say, sayFailed } from "../../ui/toasts.tsx";
import { useResource } from "../../ui/use-resource.ts";
import { WebhookForm } from "./webhook-form.tsx";
import { WebhookSecret } from "./webhook-secret.tsx";
import { WebhookState } from "./webhook-state.tsx";

const REFRESH_MS = 15_000;

type Open = { kind: "form"; webhook: Webhook | null } | { kind: "secret"; secret: string };

/** Who is told when something is wrong: added, changed, tested, switched off and removed. */
export function Alerts() {
  const t = alertsWords();
  const [open, setOpen] = useState<Open | null>(null);
  const { value, failure, reload } = useResource(readAlerts, [], REFRESH_MS);
  const all = value?.kinds.length ?? 0;

  const act = async (acting: Promise<Answer<unknown>>, done: string) => {
    const answer = await acting;
    if (answer.ok) say(done);
    else sayFailed(answer.error);
    await reload();
  };
  const remove = async ({ id, name }: Webhook) => {
    const isSure = await confirm({
      title: t.removeTitle(name),
      consequences: [t.removeHappens],
      action: t.removeAction,
    });
    if (isSure) await act(removeWebhook(id), t.removed(name));
  };
  const test = async ({ id, name }: Webhook) => {
    say(t.testing(name));
    await act(testWebhook(id), t.tested(name));
  };
  const itemsOf = (webhook: Webhook) => [
    { label: commonWords().edit, onSelect: () => setOpen({ kind: "form", webhook }) },
    { label: t.test, onSelect: () => void test(webhook) },
    {
      label: webhook.enabled ? t.disable : t.enable,
      onSelect: () =>
        void act(updateWebhook(webhook.id, { enabled: !webhook.enabled }), t.saved(webhook.name)),
    },
    { label: t.remove, isDanger: true, onSelect: () => void remove(webhook) },
  ];
  return (
    <Card
      title={t.title}
      isFlush
      actions={
        <Button icon="plus" onClick={() => setOpen({ kind: "form", webhook: null })}>
          {t.add}
        </Button>
      }
    >
      <p class="muted card-lead">{t.lead}</p>
      <DataTable
        caption={t.caption}
        rows={value?.webhooks ?? null}
        keyOf={({ id }) => id}
        failure={failure}
        onRetry={() => void reload()}
        empty={
          <Empty icon="warning" title={t.emptyTitle}>
            <p>{t.emptyText}</p>
          </Empty>
        }
        columns={[
          {
            id: "name",
            head: t.name,
            isMain: true,
            cell: ({ name, host }) => (
              <>
                {name}
                <span class="cell-note">{host}</span>
              </>
            ),
          },
          { id: "format", head: t.format, cell: ({ format }) => wordFor(t.formats, format) },
          {
            id: "kinds",
            head: t.kind,
            cell: ({ kinds }) =>
              kinds.length === all
                ? t.allKinds
                : kinds.map((kind) => wordFor(t.kinds, kind)).join(", "),
          },
          {
            id: "state",
            head: t.state,
            cell: (webhook) => <WebhookState webhook={webhook} />,
          },
          {
            id: "actions",
            head: t.actions,
            isHeadHidden: true,
            isCorner: true,
            cell: (webhook) => (
              <Menu label={commonWords().actionsFor(webhook.name)} items={itemsOf(webhook)} />
            ),
          },
        ]}
      />
      {open?.kind === "form" && value !== null && (
        <WebhookForm
          settings={value}
          webhook={open.webhook}
          onClose={() => setOpen(null)}
          onSaved={({ name, secret }) => {
            if (open.webhook !== null) say(t.saved(name));
            setOpen(secret === null ? null : { kind: "secret", secret });
            void reload();
          }}
        />
      )}
      {open?.kind === "secret" && (
        <WebhookSecret secret={open.secret} onClose={() => setOpen(null)} />
      )}
    </Card>
  );
}
