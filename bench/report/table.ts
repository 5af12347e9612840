/** Columns side by side: the first ones to the left, as text, and numbers to the right. */
export function table(rows: string[][], textColumns = 1): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column < textColumns
            ? cell.padEnd(widths[column] ?? 0)
            : cell.padStart(widths[column] ?? 0),
        )
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

const NONE = "–";

/** A figure with three digits that say something; a dash where there is none. */
export function shown(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return NONE;
  if (value === 0) return "0";
  const digits = 2 - Math.floor(Math.log10(Math.abs(value)));
  return value.toFixed(Math.max(0, Math.min(digits, 4)));
}

/** A part as a percentage; a dash where there is none. */
export function percent(part: number | null): string {
  return part === null ? NONE : `±${Math.round((part / 2) * 100)} %`;
}
