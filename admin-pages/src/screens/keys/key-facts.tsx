import { listAccounts } from "../../api/accounts.ts";
import type { KeyWithUsage } from "../../api/keys.ts";
import { commonWords } from "../../i18n/common.ts";
import { keysWords } from "../../i18n/keys.ts";
import { Card } from "../../ui/page.tsx";
import { Time } from "../../ui/time.tsx";
import { useResource } from "../../ui/use-resource.ts";

/** What a key is, beside what it may use. */
export function KeyFacts({ of: key }: { of: KeyWithUsage }) {
  const t = keysWords();
  const common = commonWords();
  const accounts = useResource(listAccounts, []).value?.accounts;
  const models =
    key.allowedModels === null
      ? key.deniedModels.length === 0
        ? t.anyModel
        : t.exceptModels(key.deniedModels.join(", "))
      : key.allowedModels.join(", ");
  const servedBy =
    key.accountId !== null
      ? (accounts?.find(({ id }) => id === key.accountId)?.name ?? key.accountId)
      : key.accountTag !== null
        ? `${t.bindings.tag}: ${key.accountTag}`
        : t.bindings.any;
  const ends = key.inUse.expiresAt;
  return (
    <Card title={t.settings}>
      <dl class="facts">
        {key.description !== "" && (
          <>
            <dt>{t.noteOfKey}</dt>
            <dd>{key.description}</dd>
          </>
        )}
        <dt>{t.models}</dt>
        <dd>{models}</dd>
        <dt>{t.boundTo}</dt>
        <dd>{servedBy}</dd>
        <dt>{t.created}</dt>
        <dd>
          <Time at={key.createdAt} />
        </dd>
        <dt>{t.firstUsed}</dt>
        <dd>{key.activatedAt === null ? common.never : <Time at={key.activatedAt} />}</dd>
        <dt>{t.ends}</dt>
        <dd>{ends === null ? common.never : <Time at={ends} />}</dd>
        <dt>{t.id}</dt>
        <dd class="mono">{key.id}</dd>
      </dl>
    </Card>
  );
}
