import { preference } from "./preference.ts";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const isTheme = (text: string): text is Theme => (THEMES as readonly string[]).includes(text);

export const theme = preference<Theme>("theme", "system", isTheme);

/** Colours are `light-dark()` pairs: the scheme of the root decides for all of them. */
export function followTheme(): () => void {
  return theme.subscribe((value) => {
    if (value === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = value;
  });
}
