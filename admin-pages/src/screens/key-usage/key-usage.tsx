import { useState } from "preact/hooks";
import { keyUsageWords } from "../../i18n/key-usage.ts";
import { Brand } from "../../ui/brand.tsx";
import { Button } from "../../ui/button.tsx";
import { TextField } from "../../ui/fields.tsx";
import { Card, Page } from "../../ui/page.tsx";
import { Preferences } from "../../ui/preferences.tsx";
import { say } from "../../ui/toasts.tsx";
import { HeldKeyReport } from "./held-key-report.tsx";

/**
 * What a key has used, for whoever holds it, without a session. The key is nowhere but in this
 * component's state: not in the address, and in no storage.
 */
export default function KeyUsage() {
  const t = keyUsageWords();
  const [apiKey, setApiKey] = useState<string | null>(null);
  return (
    <div class="open-screen">
      <header>
        <Brand />
        <Preferences />
      </header>
      <main id="content" tabIndex={-1}>
        <Page
          title={t.title}
          lead={t.lead}
          actions={
            apiKey !== null && (
              <Button
                onClick={() => {
                  setApiKey(null);
                  say(t.forgotten);
                }}
              >
                {t.forget}
              </Button>
            )
          }
        >
          {apiKey === null ? <KeyForm onKey={setApiKey} /> : <HeldKeyReport apiKey={apiKey} />}
        </Page>
      </main>
    </div>
  );
}

function KeyForm({ onKey }: { onKey: (apiKey: string) => void }) {
  const t = keyUsageWords();
  const [text, setText] = useState("");
  const [isChecked, setChecked] = useState(false);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    setChecked(true);
    if (text.trim() !== "") onKey(text.trim());
  };
  return (
    <Card>
      <form class="form paste-key" onSubmit={submit}>
        <TextField
          label={t.key}
          hint={t.keyHint}
          type="password"
          autocomplete="off"
          spellcheck={false}
          value={text}
          onValue={setText}
          error={isChecked && text.trim() === "" ? t.needsKey : undefined}
        />
        <div>
          <Button type="submit" kind="primary">
            {t.show}
          </Button>
        </div>
      </form>
    </Card>
  );
}
