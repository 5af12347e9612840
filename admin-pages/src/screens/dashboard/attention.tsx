import type { ComponentChildren } from "preact";
import type { Account } from "../../api/accounts.ts";
import type { Dashboard, ModelUse } from "../../api/dashboard.ts";
import { count, percent } from "../../format/numbers.ts";
import { commonWords } from "../../i18n/common.ts";
import { dashboardWords } from "../../i18n/dashboard.ts";
import { BASE } from "../../screens.ts";
import { Card } from "../../ui/page.tsx";
import { Notice } from "../../ui/states.tsx";
import { Countdown } from "../../ui/time.tsx";
import { AccountReasons } from "../accounts/account-state.tsx";
import { windowName } from "../accounts/account-windows.tsx";

/** From here on a window is told of before it is full. */
const NEAR = 0.9;
/** Fewer failures than these happen on any day. */
const FAILING_SHARE = 0.05;
const FAILING_AT_LEAST = 5;

interface Matter {
  id: string;
  tone: "warn" | "bad";
  text: ComponentChildren;
  link?: { href: string; label: string };
}

/** What a person has to look at, the gravest first. */
export function Attention({
  dashboard,
  accounts,
  models,
}: {
  dashboard: Dashboard | null;
  accounts: readonly Account[] | null;
  models: readonly ModelUse[] | null;
}) {
  const t = dashboardWords();
  if (dashboard === null || accounts === null) return null;
  const matters = [
    ...ofTheRelay(dashboard, accounts),
    ...accounts.flatMap(ofAnAccount),
    ...ofPrices(models ?? []),
  ].sort((a, b) => Number(b.tone === "bad") - Number(a.tone === "bad"));
  if (matters.length === 0) return <Notice tone="good">{t.allWell}</Notice>;
  return (
    <Card title={t.attention}>
      <ul class="stack">
        {matters.map(({ id, tone, text, link }) => (
          <li key={id}>
            <Notice tone={tone}>
              <div>
                {text}
                {link !== undefined && (
                  <>
                    {" "}
                    <a href={link.href}>{link.label}</a>
                  </>
                )}
              </div>
            </Notice>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function ofTheRelay({ systemHealth, recentActivity }: Dashboard, accounts: readonly Account[]) {
  const t = dashboardWords();
  const matters: Matter[] = [];
  if (accounts.length > 0 && accounts.every(({ status }) => status !== "ready")) {
    matters.push({ id: "none-usable", tone: "bad", text: t.noneUsable });
  }
  if (systemHealth.keyStore === "unavailable") {
    matters.push({ id: "key-store", tone: "bad", text: t.keyStore });
  }
  const { requestsToday, failedRequestsToday } = recentActivity;
  if (
    failedRequestsToday >= FAILING_AT_LEAST &&
    failedRequestsToday / requestsToday >= FAILING_SHARE
  ) {
    matters.push({
      id: "failing",
      tone: "warn",
      text: t.failing(percent(failedRequestsToday / requestsToday), count(failedRequestsToday)),
      link: { href: `${BASE}/requests?outcome=upstream_error`, label: t.toFailed },
    });
  }
  return matters;
}

function ofAnAccount(account: Account): Matter[] {
  const { id, name, status, coolDowns, windows } = account;
  const t = dashboardWords();
  const said = (what: string, tone: Matter["tone"], text: ComponentChildren): Matter => ({
    id: `${id} ${what}`,
    tone,
    text: (
      <>
        <strong>{name}</strong> {text}
      </>
    ),
    link: { href: `${BASE}/accounts/${id}`, label: t.toAccount },
  });
  // Its operator's own wish is no matter.
  if (status === "disabled") return [];
  if (status !== "ready" || coolDowns.length > 0) {
    const tone = status === "ready" || status === "cooling_down" ? "warn" : "bad";
    return [said("state", tone, <AccountReasons account={account} />)];
  }
  return Object.entries(windows)
    .filter(([, { utilisation }]) => (utilisation ?? 0) >= NEAR)
    .map(([window, { utilisation, reset }]) =>
      said(
        window,
        "warn",
        <span class="cell-note">
          {t.nearLimit(windowName(window), percent(utilisation ?? 0))}
          {reset !== null && (
            <>
              {" · "}
              <Countdown until={reset} words={commonWords().resetsIn} />
            </>
          )}
        </span>,
      ),
    );
}

function ofPrices(models: readonly ModelUse[]): Matter[] {
  const t = dashboardWords();
  const unlisted = models.filter(({ unlistedRequests }) => unlistedRequests > 0);
  if (unlisted.length === 0) return [];
  const sum = unlisted.reduce((all, { unlistedRequests }) => all + unlistedRequests, 0);
  return [
    {
      id: "prices",
      tone: "warn",
      text: t.unlisted(count(sum), unlisted.map(({ model }) => model).join(", ")),
      link: { href: `${BASE}/settings`, label: t.toPrices },
    },
  ];
}
