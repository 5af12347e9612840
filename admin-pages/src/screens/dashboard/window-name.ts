import { dashboardWords } from "../../i18n/dashboard.ts";
import { wordFor } from "../../i18n/dictionary.ts";

/** `5h`, `7d_opus`, `input-tokens_opus`: the span or what is counted, and of which models. */
export function windowName(window: string): string {
  const t = dashboardWords();
  const [span = "", ...family] = window.split("_");
  const name = wordFor(t.windows, span).replaceAll("-", " ");
  return family.length === 0 ? name : t.family(name, family.join(" "));
}
