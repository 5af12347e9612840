import { useState } from "preact/hooks";
import { type AuditEntry, readAudit } from "../../api/logs.ts";
import { wholeTime } from "../../format/times.ts";
import { wordFor } from "../../i18n/dictionary.ts";
import { logsWords } from "../../i18n/logs.ts";
import { BASE } from "../../screens.ts";
import { Badge, type Tone } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { CursorPager } from "../../ui/cursor-pager.tsx";
import { DataTable } from "../../ui/data-table.tsx";
import { Dialog } from "../../ui/dialog.tsx";
import { Page } from "../../ui/page.tsx";
import { Empty, Notice } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import { useResource } from "../../ui/use-resource.ts";
import { type Names, useNames } from "../requests/names.ts";
import { LogParts } from "./log-parts.tsx";

const PAGE_SIZE = 50;
const REFRESH_MS = 15_000;
const TONES: Record<string, Tone> = { done: "good", failed: "bad", begun: "warn" };

/** Who has changed what, and when. */
export default function Audit() {
  const t = logsWords();
  const names = useNames();
  /** Where each page but the first begins. */
  const [cursors, setCursors] = useState<number[]>([]);
  const [opened, setOpened] = useState<AuditEntry | null>(null);
  const before = cursors.at(-1) ?? null;
  const { value, failure, reload } = useResource(
    (signal) => readAudit(before, PAGE_SIZE, signal),
    [before],
    before === null ? REFRESH_MS : undefined,
  );
  const entries = value?.entries ?? null;
  const older = entries?.length === PAGE_SIZE ? (entries.at(-1)?.id ?? null) : null;
  return (
    <Page title={t.title} lead={t.auditLead} actions={<LogParts />}>
      <section class="card flush" aria-label={t.audit}>
        <DataTable
          caption={t.auditCaption}
          rows={entries}
          keyOf={({ id }) => String(id)}
          failure={failure}
          onRetry={() => void reload()}
          empty={
            <Empty icon="logs" title={t.auditEmptyTitle}>
              <p>{t.auditEmptyText}</p>
            </Empty>
          }
          columns={[
            {
              id: "action",
              head: t.action,
              isMain: true,
              cell: ({ action }) => wordFor(t.actions, action),
            },
            { id: "at", head: t.at, cell: ({ at }) => <Time at={at} /> },
            { id: "actor", head: t.actor, cell: ({ actor }) => actor },
            { id: "target", head: t.target, cell: (entry) => <Target of={entry} names={names} /> },
            {
              id: "outcome",
              head: t.outcome,
              cell: ({ outcome }) => (
                <Badge tone={TONES[outcome] ?? "plain"}>{wordFor(t.outcomes, outcome)}</Badge>
              ),
            },
            {
              id: "details",
              head: t.details,
              isHeadHidden: true,
              isCorner: true,
              cell: (entry) => (
                <Button
                  kind="quiet"
                  aria-label={t.detailsOf(wordFor(t.actions, entry.action))}
                  onClick={() => setOpened(entry)}
                >
                  {t.details}
                </Button>
              ),
            },
          ]}
        />
        {(older !== null || cursors.length > 0) && (
          <CursorPager
            page={cursors.length}
            hasOlder={older !== null}
            onNewer={() => setCursors(cursors.slice(0, -1))}
            onOlder={() => older !== null && setCursors([...cursors, older])}
          />
        )}
      </section>
      {opened !== null && <Details of={opened} onClose={() => setOpened(null)} />}
    </Page>
  );
}

/** What was acted on, as a link where it has a screen. What was deleted says there that it is gone. */
function Target({
  of: { action, target, detail },
  names: { keys, accounts },
}: {
  of: AuditEntry;
  names: Names;
}) {
  if (target === null) return <>–</>;
  const written = nameIn(detail) ?? nameIn(detail.after) ?? nameIn(detail.before);
  const shown = written ?? keys.get(target) ?? accounts.get(target) ?? target;
  const screen = { key: "keys", account: "accounts" }[action.split(".")[0] ?? ""];
  if (screen === undefined) return <span class="wrap">{shown}</span>;
  return (
    <a class="wrap" href={`${BASE}/${screen}/${target}`}>
      {shown}
    </a>
  );
}

function nameIn(detail: unknown): string | null {
  const { name } = (detail ?? {}) as { name?: unknown };
  return typeof name === "string" ? name : null;
}

function Details({ of: entry, onClose }: { of: AuditEntry; onClose: () => void }) {
  const t = logsWords();
  const { action, actor, at, target, outcome, detail } = entry;
  const { before, after, ...rest } = detail;
  const parts = [
    { title: t.before, value: before },
    { title: t.after, value: after },
    { title: t.details, value: Object.keys(rest).length === 0 ? undefined : rest },
  ].filter(({ value }) => value !== undefined && value !== null);
  return (
    <Dialog title={wordFor(t.actions, action)} size="large" onClose={onClose}>
      <div class="body">
        <p>
          {wholeTime(at)} · {actor} · {wordFor(t.outcomes, outcome)}
        </p>
        {outcome === "begun" && <Notice tone="warn">{t.begunMeans}</Notice>}
        {target !== null && <p class="mono wrap">{target}</p>}
        {parts.length === 0 && <p class="muted">{t.noDetails}</p>}
        {parts.map(({ title, value }) => (
          <section key={title} class="stack">
            <h3>{title}</h3>
            <pre class="shown">{JSON.stringify(value, null, 2)}</pre>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
