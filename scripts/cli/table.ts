import { styleText } from "node:util";
import { padded, plain, shortened, textWidth } from "./text-width.ts";

const GAP = "  ";
/** A column is not made narrower than this, however small the terminal. */
const MIN_COLUMN_WIDTH = 8;

export interface Column {
  title: string;
  /** May be shortened where the terminal is too narrow. */
  shrinks?: boolean;
  alignsRight?: boolean;
  /** The colour of a cell, by its text. */
  colour?: (text: string) => "green" | "yellow" | "red" | null;
}

/**
 * Rows below their titles, aligned.
 *
 * @param width columns of the terminal; undefined where there is none, then nothing is shortened
 */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number | undefined = process.stdout.isTTY ? process.stdout.columns : undefined,
): string[] {
  const cells = rows.map((row) => row.map(plain));
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...cells.map((row) => textWidth(row[index] ?? ""))),
  );
  if (width !== undefined) shrink(columns, widths, width);
  const line = (texts: readonly string[], paint: (text: string, column: Column) => string) =>
    columns
      .map((column, index) => {
        const columnWidth = widths[index] ?? 0;
        const text = shortened(texts[index] ?? "", columnWidth);
        const blank = " ".repeat(Math.max(0, columnWidth - textWidth(text)));
        const painted = paint(text, column);
        return column.alignsRight ? blank + painted : painted + blank;
      })
      .join(GAP)
      .trimEnd();
  return [
    line(
      columns.map(({ title }) => title),
      (text) => styleText("dim", text),
    ),
    ...cells.map((row) => line(row, (text, { colour }) => coloured(text, colour?.(text) ?? null))),
  ];
}

/** Names and their values, one a line; values without text are left out. */
export function fieldLines(fields: readonly (readonly [string, string | null])[]): string[] {
  const given = fields.flatMap(([name, value]) => (value ? [[name, plain(value)] as const] : []));
  const width = Math.max(0, ...given.map(([name]) => textWidth(name)));
  return given.map(([name, value]) => `  ${styleText("dim", padded(name, width))}${GAP}${value}`);
}

function coloured(text: string, colour: "green" | "yellow" | "red" | null): string {
  return colour === null ? text : styleText(colour, text);
}

function shrink(columns: readonly Column[], widths: number[], limit: number): void {
  const total = () =>
    widths.reduce((sum, width) => sum + width, 0) + GAP.length * (widths.length - 1);
  while (total() > limit) {
    let widest = -1;
    columns.forEach((column, index) => {
      const width = widths[index] ?? 0;
      if (column.shrinks && width > MIN_COLUMN_WIDTH && width > (widths[widest] ?? 0))
        widest = index;
    });
    if (widest === -1) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}
