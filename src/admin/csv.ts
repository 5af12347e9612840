import type { AdminContext } from "./envelope.ts";

/** One line's cells. Null is an empty cell. */
export type CsvRow = (string | number | boolean | null)[];

/** A spreadsheet takes a text that begins so for a formula. */
const FORMULA_START = /^[=+\-@\t\r\n]/;

/**
 * Lines as RFC 4180 has them. Texts that a spreadsheet would run get an apostrophe in front: names of
 * models come from whoever holds a key.
 */
export function csvLine(row: CsvRow): string {
  return `${row.map(cell).join(",")}\r\n`;
}

function cell(value: CsvRow[number]): string {
  if (value === null) return "";
  if (typeof value !== "string") return String(value);
  const text = FORMULA_START.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * A download that is made while it is read, a page of lines at a time. Its first page is made before
 * the answer begins, so that what cannot be read is an error and no half of a file; where a later one
 * fails, the download breaks off.
 *
 * @param name of the file, without its ending
 */
export async function csvAnswer(
  c: AdminContext,
  name: string,
  heads: readonly string[],
  pages: AsyncGenerator<CsvRow[]>,
): Promise<Response> {
  const first = await pages.next();
  const chunks = encoded(heads, first, pages);
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const chunk = await chunks.next();
      if (chunk.done === true) controller.close();
      else controller.enqueue(chunk.value);
    },
    async cancel() {
      await chunks.return();
    },
  });
  return c.body(body, 200, {
    "content-type": "text/csv; charset=utf-8",
    "content-disposition": `attachment; filename="${name}.csv"`,
  });
}

async function* encoded(
  heads: readonly string[],
  first: IteratorResult<CsvRow[]>,
  pages: AsyncGenerator<CsvRow[]>,
): AsyncGenerator<Uint8Array, void, void> {
  const encoder = new TextEncoder();
  yield encoder.encode(csvLine([...heads]));
  for (let page = first; page.done !== true; page = await pages.next()) {
    if (page.value.length > 0) yield encoder.encode(page.value.map(csvLine).join(""));
  }
}
