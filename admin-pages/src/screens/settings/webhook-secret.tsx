import { alertsWords } from "../../i18n/alerts.ts";
import { commonWords } from "../../i18n/common.ts";
import { Button } from "../../ui/button.tsx";
import { CopyButton } from "../../ui/copy-button.tsx";
import { Dialog } from "../../ui/dialog.tsx";
import { Notice } from "../../ui/states.tsx";

/** The secret that the relay has made for a webhook: shown this once. */
export function WebhookSecret({ secret, onClose }: { secret: string; onClose: () => void }) {
  const t = alertsWords();
  return (
    <Dialog title={t.madeTitle} mayClose={false} onClose={onClose}>
      <div class="body">
        <Notice tone="warn">{t.madeText}</Notice>
        <div class="copyable">
          <pre>{secret}</pre>
          <CopyButton text={secret} what={t.secret} />
        </div>
      </div>
      <footer>
        <Button kind="primary" onClick={onClose}>
          {commonWords().done}
        </Button>
      </footer>
    </Dialog>
  );
}
