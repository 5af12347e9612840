import { type Egress, readEgress } from "../../api/accounts.ts";
import { took } from "../../format/times.ts";
import { settingsWords } from "../../i18n/settings.ts";
import { Badge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { DataTable } from "../../ui/data-table.tsx";
import { Card } from "../../ui/page.tsx";
import { Empty } from "../../ui/states.tsx";
import { useResource } from "../../ui/use-resource.ts";

/** Each forward proxy, and whether it answers this relay now. */
export function ForwardProxies() {
  const t = settingsWords();
  const { value, failure, isLoading, reload } = useResource<Egress>(readEgress, []);
  const proxies = value?.forwardProxies ?? null;
  return (
    <Card
      title={t.proxies}
      isFlush
      actions={
        <Button icon="refresh" isBusy={isLoading} onClick={() => void reload()}>
          {isLoading ? t.checking : t.check}
        </Button>
      }
    >
      <p class="muted card-lead">
        {t.proxiesLead} {value?.tellsExitAddress && t.exitAddress}
      </p>
      <DataTable
        caption={t.proxiesCaption}
        rows={proxies}
        keyOf={({ name }) => name}
        failure={failure}
        onRetry={() => void reload()}
        empty={
          <Empty icon="link" title={t.noProxies}>
            <p>{t.noProxiesText}</p>
          </Empty>
        }
        columns={[
          { id: "name", head: t.name, isMain: true, cell: ({ name }) => name },
          { id: "url", head: t.address, cell: ({ url }) => <span class="wrap">{url}</span> },
          {
            id: "ok",
            head: t.answers,
            cell: ({ ok }) => (
              <Badge tone={ok ? "good" : "bad"}>{ok ? t.answersYes : t.answersNo}</Badge>
            ),
          },
          {
            id: "took",
            head: t.took,
            isNumber: true,
            cell: ({ durationMs }) => <span class="nowrap">{took(durationMs)}</span>,
          },
          { id: "message", head: t.tells, cell: ({ message }) => message },
        ]}
      />
    </Card>
  );
}
