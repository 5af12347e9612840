import { useEffect, useState } from "preact/hooks";
import { commonWords } from "../i18n/common.ts";
import { Icon } from "./icon.tsx";
import { say } from "./toasts.tsx";

const SHOWN_MS = 2_000;

/** @param what named to those who hear the page, where several things can be copied */
export function CopyButton({ text, what }: { text: string; what?: string }) {
  const t = commonWords();
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    if (!isCopied) return;
    const timer = setTimeout(() => setCopied(false), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [isCopied]);

  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
    } catch {
      say(t.copyFailed, "bad");
    }
  };
  return (
    <button type="button" class="button small" onClick={() => void copy()}>
      <Icon name={isCopied ? "check" : "copy"} />
      <span aria-live="polite">{isCopied ? t.copied : t.copy}</span>
      {what !== undefined && <span class="hidden">: {what}</span>}
    </button>
  );
}
