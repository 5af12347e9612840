import { useEffect, useState } from "preact/hooks";
import { readRelayUrl } from "../../api/relay-url.ts";
import { startWords } from "../../i18n/start.ts";
import { CopyButton } from "../../ui/copy-button.tsx";
import { Choice } from "../../ui/fields.tsx";
import { CLIENTS, type Client, commandFor } from "./commands.ts";

const NO_KEY = "cr_…";

/** The third step: commands with the relay's address and the key in them. */
export function ClientStep({ isReady, apiKey }: { isReady: boolean; apiKey: string | null }) {
  const t = startWords();
  const [client, setClient] = useState<Client>("claudeCode");
  const [url, setUrl] = useState(location.origin);
  useEffect(() => {
    void readRelayUrl().then(setUrl);
  }, []);
  const command = commandFor(client, url, apiKey ?? NO_KEY);
  return (
    <li>
      <h2>{t.stepClient}</h2>
      {isReady ? (
        <>
          <p class="muted">{t.clientText}</p>
          <Choice
            label={t.client}
            isLabelHidden
            value={client}
            options={CLIENTS.map((value) => ({ value, label: t.clients[value] }))}
            onValue={setClient}
          />
          <div class="copyable">
            <pre>{command}</pre>
            <CopyButton text={command} what={t.clients[client]} />
          </div>
          {apiKey === null && <p class="hint">{t.placeholderNote}</p>}
        </>
      ) : (
        <p class="muted">{t.first}</p>
      )}
    </li>
  );
}
