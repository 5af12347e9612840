import { useLocation } from "preact-iso";
import { logsWords } from "../../i18n/logs.ts";
import { BASE } from "../../screens.ts";

/** The way between the live log and the audit trail. */
export function LogParts() {
  const t = logsWords();
  const { path } = useLocation();
  const parts = [
    { href: `${BASE}/logs`, label: t.live },
    { href: `${BASE}/logs/audit`, label: t.audit },
  ];
  return (
    <nav class="segments" aria-label={t.parts}>
      {parts.map(({ href, label }) => (
        <a key={href} href={href} aria-current={path === href ? "page" : undefined}>
          {label}
        </a>
      ))}
    </nav>
  );
}
