import type { ComponentChildren } from "preact";
import { useEffect, useId } from "preact/hooks";
import { shellWords } from "../i18n/shell.ts";

/** A screen: its title, what can be done on it, and its parts. */
export function Page({
  title,
  lead,
  back,
  actions,
  children,
}: {
  title: string;
  lead?: ComponentChildren;
  back?: { href: string; label: string };
  actions?: ComponentChildren;
  children: ComponentChildren;
}) {
  const brand = shellWords().brand;
  useEffect(() => {
    document.title = `${title} · ${brand}`;
  }, [title, brand]);
  return (
    <div class="page">
      <header class="page-head">
        <div>
          {back !== undefined && (
            <a class="back" href={back.href}>
              ← {back.label}
            </a>
          )}
          <h1>{title}</h1>
          {lead !== undefined && <div class="lead">{lead}</div>}
        </div>
        {actions !== undefined && <div class="actions">{actions}</div>}
      </header>
      {children}
    </div>
  );
}

/** A titled part of a screen, on a surface of its own. */
export function Card({
  title,
  actions,
  children,
  isFlush = false,
}: {
  title?: ComponentChildren;
  actions?: ComponentChildren;
  children: ComponentChildren;
  /** Its content reaches the edges, as a table does. */
  isFlush?: boolean;
}) {
  const titleId = useId();
  return (
    <section class={isFlush ? "card flush" : "card"} aria-labelledby={title ? titleId : undefined}>
      {(title || actions) && (
        <header>
          {title && <h2 id={titleId}>{title}</h2>}
          {actions !== undefined && <div class="actions">{actions}</div>}
        </header>
      )}
      {children}
    </section>
  );
}
