import type { ComponentChildren } from "preact";

/** From here on a limit is near, and from there it is all but used up. */
const NEAR = 0.75;
const FULL = 0.95;

/**
 * How much of something is used: a meter for those who hear the page, and a drawn bar, as no two
 * browsers draw a meter alike.
 *
 * @param fraction 0 to 1, or more where it is overdrawn; null: no limit, so there is nothing to fill
 * @param value in words, such as "$3.20 of $5"
 */
export function Meter({
  label,
  fraction,
  value,
  note,
}: {
  label: string;
  fraction: number | null;
  value: ComponentChildren;
  note?: ComponentChildren;
}) {
  const share = fraction === null ? null : Math.min(1, Math.max(0, fraction));
  const tone = share === null || share < NEAR ? "good" : share < FULL ? "warn" : "bad";
  return (
    <div class="meter">
      <div class="meter-head">
        <span class="meter-label">{label}</span>
        <span class="meter-value">{value}</span>
      </div>
      {share !== null && (
        <>
          <meter class="hidden" aria-label={label} min={0} max={1} value={share} />
          <BarOf share={share} tone={tone} />
        </>
      )}
      {note !== undefined && <div class="meter-note">{note}</div>}
    </div>
  );
}

/** @param share of the whole width, 0 to 1 */
export function BarOf({ share, tone }: { share: number; tone: "good" | "warn" | "bad" }) {
  return (
    <svg class={`bar ${tone}`} viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">
      <rect width={share * 100} height="1" />
    </svg>
  );
}
