import type { ComponentChildren } from "preact";
import { BarOf } from "./meter.tsx";

export interface Bar {
  id: string;
  label: ComponentChildren;
  value: number;
  /** The value in words. */
  shown: string;
}

/** Values under each other, each with a bar of its share of the largest. The words say all of it. */
export function BarList({ bars }: { bars: readonly Bar[] }) {
  const most = Math.max(0, ...bars.map(({ value }) => value));
  return (
    <ul class="bars">
      {bars.map(({ id, label, value, shown }) => (
        <li key={id}>
          <span class="bar-label">{label}</span>
          <span class="number">{shown}</span>
          <BarOf share={most === 0 ? 0 : value / most} tone="good" />
        </li>
      ))}
    </ul>
  );
}
