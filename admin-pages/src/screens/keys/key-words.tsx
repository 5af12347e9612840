import type { KeyLimits, KeyStatus } from "../../api/keys.ts";
import { compact, count, dollars } from "../../format/numbers.ts";
import { commonWords } from "../../i18n/common.ts";
import { keysWords } from "../../i18n/keys.ts";
import { Badge, type Tone } from "../../ui/badge.tsx";

const TONES: Record<KeyStatus, Tone> = {
  active: "good",
  disabled: "plain",
  expired: "warn",
  revoked: "bad",
  deleted: "plain",
};

export function KeyStatusBadge({ status }: { status: KeyStatus }) {
  return <Badge tone={TONES[status]}>{keysWords().status[status]}</Badge>;
}

/** A key's limits in a line: "$5/d · $60/mo · 4 at once". */
export function LimitsInShort({ limits }: { limits: KeyLimits }) {
  const t = keysWords();
  const money = (value: number | null, label: string) =>
    value === null ? [] : [`${dollars(value)} ${label}`];
  const { window, concurrency, weeklyFamilyCost } = limits;
  const parts = [
    ...money(limits.dailyCost, t.short.day),
    ...money(limits.weeklyCost, t.short.week),
    ...money(limits.monthlyCost, t.short.month),
    ...money(limits.totalCost, t.short.total),
    ...(weeklyFamilyCost === null
      ? []
      : [`${dollars(weeklyFamilyCost.cost)} ${t.short.week} ${weeklyFamilyCost.family}`]),
    ...(window === null ? [] : [windowInShort(window, t.minutes)]),
    ...(concurrency === null ? [] : [`${count(concurrency)} ${t.atOnce}`]),
  ];
  if (parts.length === 0) return <span class="muted">{commonWords().unlimited}</span>;
  return <span>{parts.join(" · ")}</span>;
}

function windowInShort(window: NonNullable<KeyLimits["window"]>, minutes: string): string {
  const { requests, tokens, cost } = window;
  const counts = [
    ...(requests === null ? [] : [`${compact(requests)} req`]),
    ...(tokens === null ? [] : [`${compact(tokens)} tok`]),
    ...(cost === null ? [] : [dollars(cost)]),
  ];
  return `${counts.join(", ")} / ${count(window.minutes)} ${minutes}`;
}
