import { useState } from "preact/hooks";
import { listAccounts } from "../../api/accounts.ts";
import { listKeys, type NewKey } from "../../api/keys.ts";
import { startWords } from "../../i18n/start.ts";
import { Page } from "../../ui/page.tsx";
import { FailureNotice, Loading } from "../../ui/states.tsx";
import { useResource } from "../../ui/use-resource.ts";
import { AccountStep } from "./account-step.tsx";
import { ClientStep } from "./client-step.tsx";
import { FirstRequest } from "./first-request.tsx";
import { KeyStep } from "./key-step.tsx";

/** Leads from an empty relay to the first request that came through it. */
export default function FirstSteps() {
  const t = startWords();
  const accounts = useResource(listAccounts, []);
  // Only whether there are any, and how many up to a page.
  const keys = useResource((signal) => listKeys(null, KEYS_COUNTED, signal), []);
  const [key, setKey] = useState<NewKey | null>(null);
  const failure = accounts.failure ?? keys.failure;
  const isThere = accounts.value !== null && keys.value !== null;
  const known = accounts.value?.accounts ?? [];
  const keyCount = (keys.value?.keys ?? []).filter(({ status }) => status === "active").length;
  const isReady = known.length > 0 && (key !== null || keyCount > 0);
  return (
    <Page title={t.title} lead={t.lead}>
      {failure !== null && !isThere && (
        <FailureNotice
          failure={failure}
          onRetry={() => void Promise.all([accounts.reload(), keys.reload()])}
        />
      )}
      {failure === null && !isThere && <Loading lines={6} />}
      {isThere && (
        <>
          <ol class="steps roomy">
            <AccountStep accounts={known} onAdded={() => void accounts.reload()} />
            <KeyStep made={key} keyCount={keyCount} onMade={setKey} />
            <ClientStep isReady={isReady} apiKey={key?.apiKey ?? null} />
          </ol>
          {isReady && <FirstRequest key={key?.id} keyId={key?.id ?? null} />}
        </>
      )}
    </Page>
  );
}

const KEYS_COUNTED = 100;
