import type { ComponentChildren } from "preact";
import type { Account } from "../../api/accounts.ts";
import type { Dashboard, ModelUse } from "../../api/dashboard.ts";
import { count, percent } from "../../format/numbers.ts";
import { commonWords } from "../../i18n/common.ts";
import { dashboardWords } from "../../i18n/dashboard.ts";
import { wordFor } from "../../i18n/dictionary.ts";
import { BASE } from "../../screens.ts";
import { Card } from "../../ui/page.tsx";
import { Notice } from "../../ui/states.tsx";
import { Countdown } from "../../ui/time.tsx";
import { windowName } from "./window-name.ts";

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
              <p>
                {text}
                {link !== undefined && (
                  <>
                    {" "}
                    <a href={link.href}>{link.label}</a>
                  </>
                )}
              </p>
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
  if (accounts.length === 0) {
    const link = { href: `${BASE}/start`, label: t.toStart };
    matters.push({ id: "no-accounts", tone: "warn", text: t.noAccounts, link });
  } else if (accounts.every(({ status }) => status !== "ready")) {
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
  const { id, name, status, trouble, coolDowns, windows } = account;
  const t = dashboardWords();
  const said = (tone: Matter["tone"], what: string, until: ComponentChildren = null): Matter => ({
    id: `${id} ${what}`,
    tone,
    text: (
      <>
        <strong>{name}</strong> · {what} {until}
      </>
    ),
    link: { href: `${BASE}/accounts/${id}`, label: t.toAccount },
  });
  const back = (at: string | null) => at !== null && <Until at={at} words={t.back} />;
  // Its operator's own wish is no matter.
  if (status === "disabled") return [];
  if (trouble !== null) {
    const tone = trouble.until === null ? "bad" : "warn";
    return [said(tone, wordFor(t.troubles, trouble.kind), back(trouble.until))];
  }
  const reason = (t.statusReasons as Record<string, string>)[status];
  if (reason !== undefined) return [said("bad", reason)];
  const rests = coolDowns.map(({ scope, reason: why, until }) =>
    said("warn", scope === "*" ? t.rests(why) : t.restsFor(scope, why), back(until)),
  );
  if (rests.length > 0) return rests;
  return Object.entries(windows)
    .filter(([, { utilisation }]) => (utilisation ?? 0) >= NEAR)
    .map(([window, { utilisation, reset }]) =>
      said(
        "warn",
        t.nearLimit(windowName(window), percent(utilisation ?? 0)),
        reset !== null && <Until at={reset} words={commonWords().resetsIn} />,
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

function Until({ at, words }: { at: string; words: (span: string) => string }) {
  return (
    <span class="muted">
      (<Countdown until={at} words={words} />)
    </span>
  );
}
