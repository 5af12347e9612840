import type { ComponentChildren } from "preact";
import type { Failure } from "../api/client.ts";
import { commonWords } from "../i18n/common.ts";
import { errorWords, failureWords } from "../i18n/errors.ts";
import { Button } from "./button.tsx";
import { Icon, type IconName } from "./icon.tsx";

/** Grey bars in place of what is on its way. */
export function Loading({ lines = 4 }: { lines?: number }) {
  return (
    <div class="skeleton" role="status">
      <span class="hidden">{commonWords().loading}</span>
      {Array.from({ length: lines }, (_, line) => (
        <div key={line} class="bone" aria-hidden="true" />
      ))}
    </div>
  );
}

/** What went wrong, whose words those are, and a way to try again. */
export function FailureNotice({ failure, onRetry }: { failure: Failure; onRetry?: () => void }) {
  const t = commonWords();
  const { summary, detail } = failureWords(failure);
  return (
    <div class="notice bad" role="alert">
      <Icon name="error" />
      <div>
        <p>
          <strong>{errorWords().title}.</strong> {summary}
        </p>
        {detail !== "" && <p class="muted">{detail}</p>}
        {failure.requestId !== null && <p class="muted small">{t.requestId(failure.requestId)}</p>}
        {onRetry !== undefined && (
          <Button icon="refresh" onClick={onRetry}>
            {t.retry}
          </Button>
        )}
      </div>
    </div>
  );
}

/** Nothing is there yet: says why, and what to do about it. */
export function Empty({
  icon,
  title,
  children,
}: {
  icon: IconName;
  title: string;
  children?: ComponentChildren;
}) {
  return (
    <div class="empty">
      <Icon name={icon} />
      <h3>{title}</h3>
      {children}
    </div>
  );
}

export function Notice({
  tone = "info",
  children,
}: {
  tone?: "info" | "warn" | "bad" | "good";
  children: ComponentChildren;
}) {
  const icon = { info: "info", warn: "warning", bad: "error", good: "check" } as const;
  return (
    <div class={`notice ${tone}`}>
      <Icon name={icon[tone]} />
      <div>{children}</div>
    </div>
  );
}
