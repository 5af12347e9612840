import { signal } from "@preact/signals";
import type { Failure } from "../api/client.ts";
import { commonWords } from "../i18n/common.ts";
import { failureWords } from "../i18n/errors.ts";
import { IconButton } from "./button.tsx";
import { Icon } from "./icon.tsx";

type Tone = "good" | "bad";

interface Toast {
  id: number;
  tone: Tone;
  text: string;
  detail: string;
}

/** Good news may pass by; what went wrong stays until it is put away. */
const GOOD_NEWS_MS = 5_000;
const MOST_AT_ONCE = 4;

const toasts = signal<Toast[]>([]);
let lastId = 0;

/** Tells the outcome of an act, on any screen. */
export function say(text: string, tone: Tone = "good", detail = ""): void {
  lastId += 1;
  const id = lastId;
  toasts.value = [...toasts.value, { id, tone, text, detail }].slice(-MOST_AT_ONCE);
  if (tone === "good") setTimeout(() => putAway(id), GOOD_NEWS_MS);
}

/** Tells that an act failed, and what to do. */
export function sayFailed(failure: Failure): void {
  // The sign-in screen says it already.
  if (failure.code === "not_signed_in") return;
  const { summary, detail } = failureWords(failure);
  say(summary, "bad", detail);
}

function putAway(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

export function Toasts() {
  const t = commonWords();
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(({ id, tone, text, detail }) => (
        <div key={id} class={`toast ${tone}`}>
          <Icon name={tone === "good" ? "check" : "error"} />
          <div>
            <p>{text}</p>
            {detail !== "" && <p class="muted">{detail}</p>}
          </div>
          <IconButton icon="close" label={t.close} onClick={() => putAway(id)} />
        </div>
      ))}
    </div>
  );
}
