import type { KeyInUse, LimitInUse } from "../../api/usage.ts";
import { compact, count, dollars } from "../../format/numbers.ts";
import { commonWords } from "../../i18n/common.ts";
import { keysWords } from "../../i18n/keys.ts";
import { Meter } from "../../ui/meter.tsx";
import { Card } from "../../ui/page.tsx";
import { Notice } from "../../ui/states.tsx";
import { Countdown } from "../../ui/time.tsx";

interface Line {
  id: string;
  label: string;
  limit: LimitInUse;
  format: (value: number) => string;
  resetsAt?: string | null;
  resetWords?: (span: string) => string;
}

/** Every limit of a key, how much of it is used, and when it comes back. */
export function LimitsLeft({ inUse }: { inUse: KeyInUse }) {
  const t = keysWords();
  const common = commonWords();
  const lines = linesOf(inUse).filter(({ limit }) => limit.limit !== null);
  return (
    <Card title={t.left}>
      <div class="stack">
        {lines.length === 0 && <Notice tone="warn">{t.noLimits}</Notice>}
        {lines.map(({ id, label, limit, format, resetsAt, resetWords }) => (
          <Meter
            key={id}
            label={label}
            fraction={fractionOf(limit)}
            value={t.usedOf(format(limit.used), format(limit.limit ?? 0))}
            note={
              resetsAt == null ? undefined : (
                <Countdown until={resetsAt} words={resetWords ?? common.resetsIn} />
              )
            }
          />
        ))}
      </div>
    </Card>
  );
}

function linesOf(inUse: KeyInUse): Line[] {
  const t = keysWords();
  const { window, weeklyFamilyCost } = inUse;
  const cost = (id: string, label: string, limit: LimitInUse): Line => ({
    id,
    label,
    limit,
    format: dollars,
    resetsAt: limit.resetsAt ?? null,
  });
  const inWindow = (name: "requests" | "tokens" | "cost"): Line[] =>
    window === null
      ? []
      : [
          {
            id: `window-${name}`,
            label: `${t.measures[name]} · ${t.windowOf(count(window.minutes))}`,
            limit: window[name],
            format: name === "cost" ? dollars : name === "tokens" ? compact : count,
            resetsAt: window.resetsAt,
            resetWords: t.windowFrees,
          },
        ];
  return [
    { id: "concurrency", label: t.concurrency, limit: inUse.concurrency, format: count },
    ...inWindow("requests"),
    ...inWindow("tokens"),
    ...inWindow("cost"),
    cost("daily", t.dailyCost, inUse.dailyCost),
    cost("weekly", t.weeklyCost, inUse.weeklyCost),
    cost("monthly", t.monthlyCost, inUse.monthlyCost),
    cost("total", t.totalCost, inUse.totalCost),
    ...(weeklyFamilyCost === null
      ? []
      : [cost("family", t.weeklyFamily(weeklyFamilyCost.family), weeklyFamilyCost)]),
  ];
}

/** A limit of 0 is used up from the start. */
function fractionOf({ limit, used }: LimitInUse): number | null {
  if (limit === null) return null;
  return limit === 0 ? 1 : used / limit;
}
