import type { NewKey } from "../../api/keys.ts";
import { count } from "../../format/numbers.ts";
import { keysWords } from "../../i18n/keys.ts";
import { Button } from "../../ui/button.tsx";
import { CopyButton } from "../../ui/copy-button.tsx";
import { Dialog } from "../../ui/dialog.tsx";
import { Notice } from "../../ui/states.tsx";

/** The plain keys, this once. It closes only by its button: nothing else can bring them back. */
export function NewSecrets({
  keys,
  missing = [],
  onClose,
}: {
  keys: readonly NewKey[];
  missing?: readonly string[];
  onClose: () => void;
}) {
  const t = keysWords();
  const [first] = keys;
  const title =
    keys.length === 1 && first !== undefined
      ? t.newKeyTitle(first.name)
      : t.newKeysTitle(count(keys.length));
  return (
    <Dialog title={title} mayClose={false} onClose={onClose}>
      <div class="body">
        <Notice tone="warn">{t.shownOnce}</Notice>
        {missing.length > 0 && <Notice tone="bad">{t.missing(missing.join(", "))}</Notice>}
        {keys.length === 1 && first !== undefined ? (
          <div class="copyable">
            <pre>{first.apiKey}</pre>
            <CopyButton text={first.apiKey} />
          </div>
        ) : (
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
          <section class="scroll" tabIndex={0} aria-label={title}>
            <table>
              <tbody>
                {keys.map(({ id, name, apiKey }) => (
                  <tr key={id}>
                    <th scope="row">{name}</th>
                    <td class="mono wrap">{apiKey}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </section>
        )}
      </div>
      <footer>
        {keys.length > 1 && <Button onClick={() => download(keys)}>{t.download}</Button>}
        <Button kind="primary" onClick={onClose}>
          {t.haveCopied}
        </Button>
      </footer>
    </Dialog>
  );
}

function download(keys: readonly NewKey[]): void {
  const lines = keys.map(({ name, id, apiKey }) => [name, id, apiKey].map(cell).join(","));
  const csv = ["name,id,key", ...lines].join("\r\n");
  const url = URL.createObjectURL(new Blob([csv], { type: "text/csv;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = "relay-keys.csv";
  link.click();
  URL.revokeObjectURL(url);
}

/** A cell that a spreadsheet would take for a formula has an apostrophe in front. */
function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}
