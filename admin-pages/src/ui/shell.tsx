import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { shellWords } from "../i18n/shell.ts";
import { BASE, SCREENS } from "../screens.ts";
import type { Session } from "../session.ts";
import { Brand } from "./brand.tsx";
import { Button, IconButton } from "./button.tsx";
import { Icon } from "./icon.tsx";
import { leave } from "./leave.ts";
import { Preferences } from "./preferences.tsx";

/** What stands around every screen of a signed-in admin. */
export function Shell({ session, children }: { session: Session; children: ComponentChildren }) {
  const t = shellWords();
  const { path } = useLocation();
  const [isOpen, setOpen] = useState(false);
  // On a narrow page the navigation makes room for what was chosen in it.
  useEffect(() => setOpen(false), [path]);

  return (
    <div class="shell">
      <a class="skip" href="#content">
        {t.skip}
      </a>
      <div class={isOpen ? "side open" : "side"}>
        <div class="side-head">
          <Brand />
          <IconButton
            icon={isOpen ? "close" : "menu"}
            label={t.menu}
            aria-expanded={isOpen}
            aria-controls="side-body"
            onClick={() => setOpen(!isOpen)}
          />
        </div>
        <div class="side-body" id="side-body">
          <nav aria-label={t.navigation}>
            <ul>
              {SCREENS.map(({ path: to, nav }) => {
                if (nav === undefined) return null;
                const href = BASE + to;
                const isHere = to === "/" ? path === BASE : path.startsWith(href);
                return (
                  <li key={to}>
                    <a href={href} aria-current={isHere ? "page" : undefined}>
                      <Icon name={nav.icon} />
                      {t.nav[nav.label]}
                    </a>
                  </li>
                );
              })}
            </ul>
          </nav>
          <div class="side-foot">
            <Preferences />
            <p class="muted small">{t.signedInAs(session.username)}</p>
            {session.role === "viewer" && <p class="muted small">{t.readOnly}</p>}
            <Button kind="quiet" icon="signOut" onClick={() => void leave(session)}>
              {t.signOut}
            </Button>
          </div>
        </div>
      </div>
      <main id="content" tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}
