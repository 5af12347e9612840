import { signal } from "@preact/signals";
import { commonWords } from "../i18n/common.ts";
import { Button } from "./button.tsx";
import { Dialog } from "./dialog.tsx";

interface Question {
  title: string;
  /** What will happen, a sentence each: to whom, from when, and whether it can be undone. */
  consequences: readonly string[];
  /** Names the act, as a verb. */
  action: string;
  isDestructive?: boolean;
}

const open = signal<(Question & { answer: (isSure: boolean) => void }) | null>(null);

/** Asks before an act, and says what it will do. */
export function confirm(question: Question): Promise<boolean> {
  open.value?.answer(false);
  return new Promise((settle) => {
    open.value = {
      ...question,
      answer: (isSure) => {
        open.value = null;
        settle(isSure);
      },
    };
  });
}

/** Stands once in the page, where {@link confirm} shows its questions. */
export function Confirmation() {
  const question = open.value;
  if (question === null) return null;
  const { title, consequences, action, isDestructive = true, answer } = question;
  return (
    <Dialog title={title} size="small" onClose={() => answer(false)}>
      <ul class="consequences">
        {consequences.map((sentence) => (
          <li key={sentence}>{sentence}</li>
        ))}
      </ul>
      <footer>
        <Button onClick={() => answer(false)}>{commonWords().cancel}</Button>
        <Button kind={isDestructive ? "danger" : "primary"} onClick={() => answer(true)}>
          {action}
        </Button>
      </footer>
    </Dialog>
  );
}
