import { useEffect, useState } from "preact/hooks";
import { readRelayUrl } from "../../api/relay-url.ts";
import { settingsWords } from "../../i18n/settings.ts";
import { BASE } from "../../screens.ts";
import { Card } from "../../ui/page.tsx";

/** What this is, and where to read on. */
export function About({ version }: { version: string | null }) {
  const t = settingsWords();
  const [url, setUrl] = useState("");
  useEffect(() => {
    void readRelayUrl().then(setUrl);
  }, []);
  return (
    <Card title={t.about}>
      <div class="stack">
        <dl class="facts">
          <dt>{t.version}</dt>
          <dd>{version ?? "–"}</dd>
          <dt>{t.clientAddress}</dt>
          <dd class="mono">{url}</dd>
          <dt>{t.holders}</dt>
          <dd>
            <a href={`${BASE}/usage`}>{t.holdersLink}</a>
          </dd>
          <dt>{t.documentation}</dt>
          <dd>{t.docs}</dd>
        </dl>
        <p class="muted">{t.honest}</p>
      </div>
    </Card>
  );
}
