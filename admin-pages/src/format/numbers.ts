import { locale } from "../i18n/language.ts";

const CENT = 0.01;
/** Below it, a sum is shown with as many digits as it takes to see something. */
const SMALL_DOLLARS = 1;

const formats = new Map<string, Intl.NumberFormat>();

function format(name: string, options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = `${locale.value} ${name}`;
  const known = formats.get(key);
  if (known !== undefined) return known;
  const made = new Intl.NumberFormat(locale.value, options);
  formats.set(key, made);
  return made;
}

/** 12,345 */
export function count(value: number): string {
  return format("count", { maximumFractionDigits: 2 }).format(value);
}

/** 12.3K; whole numbers below a thousand stay as they are. */
export function compact(value: number): string {
  return format("compact", { notation: "compact", maximumFractionDigits: 1 }).format(value);
}

/** $1,234.50, and more digits where a cent would hide what it is: $0.0031. */
export function dollars(value: number): string {
  const style = { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol" } as const;
  const size = Math.abs(value);
  if (size === 0 || size >= SMALL_DOLLARS) return format("dollars", style).format(value);
  if (size >= CENT) {
    return format("small dollars", { ...style, maximumFractionDigits: 3 }).format(value);
  }
  return format("tiny dollars", {
    ...style,
    minimumFractionDigits: 2,
    maximumFractionDigits: 6,
    maximumSignificantDigits: 2,
  }).format(value);
}

/** @param fraction 0.42 is 42% */
export function percent(fraction: number): string {
  const digits = fraction !== 0 && Math.abs(fraction) < 0.1 ? 1 : 0;
  return format(`percent ${digits}`, { style: "percent", maximumFractionDigits: digits }).format(
    fraction,
  );
}
