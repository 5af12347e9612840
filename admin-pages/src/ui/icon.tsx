/** Outlines on a grid of 20, drawn with a stroke of the text's colour. */
const PATHS = {
  accounts:
    "M7 9a3 3 0 1 0 0-6 3 3 0 0 0 0 6M2 17c0-3 2.2-5 5-5s5 2 5 5M13 9a2.5 2.5 0 1 0 0-5M15 12c1.9.6 3 2.3 3 5",
  keys: "M12.5 7.5h.01M17 7.5a4.5 4.5 0 0 1-6 4.24L8.75 14H7v1.75H5.25V17.5H2.5v-2.75l5.76-5.76A4.5 4.5 0 1 1 17 7.5",
  start: "M4 17V3.5M4 4h10.5l-2 3.5 2 3.5H4",
  dashboard: "M3 3h6v6H3zM11 3h6v4h-6zM11 9h6v8h-6zM3 11h6v6H3z",
  requests: "M3 6h11M11 3l3 3-3 3M17 14H6M9 11l-3 3 3 3",
  logs: "M4 4h12M4 8h12M4 12h8M4 16h10",
  settings:
    "M3 6h7M14 6h3M3 14h3M10 14h7M12 8a2 2 0 1 0 0-4 2 2 0 0 0 0 4M8 16a2 2 0 1 0 0-4 2 2 0 0 0 0 4",
  menu: "M3 5h14M3 10h14M3 15h14",
  more: "M4 10a.5.5 0 1 0 1 0 .5.5 0 1 0-1 0M9.5 10a.5.5 0 1 0 1 0 .5.5 0 1 0-1 0M15 10a.5.5 0 1 0 1 0 .5.5 0 1 0-1 0",
  close: "M5 5l10 10M15 5L5 15",
  plus: "M10 4v12M4 10h12",
  copy: "M7 7h9v9H7zM13 7V4H4v9h3",
  check: "M4 10.5l4 4 8-9",
  search: "M9 14.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11M13 13l4 4",
  warning: "M10 3L2.5 16.5h15zM10 8.5v3.5M10 14.3h.01",
  error: "M10 17.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15M10 6v5M10 13.7h.01",
  info: "M10 17.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15M10 9v5M10 6.3h.01",
  refresh:
    "M16.5 9A6.5 6.5 0 0 0 4.6 6.3L3 8M3 4v4h4M3.5 11a6.5 6.5 0 0 0 11.9 2.7L17 12M17 16v-4h-4",
  external: "M11 3h6v6M17 3l-8 8M14 11v6H3V6h6",
  up: "M5 12.5l5-5 5 5",
  down: "M5 7.5l5 5 5-5",
  left: "M12.5 5l-5 5 5 5",
  right: "M7.5 5l5 5-5 5",
  clock: "M10 17.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15M10 6v4.5l3 1.7",
  signOut: "M12 3H4v14h8M8.5 10H17M14 7l3 3-3 3",
  link: "M8.5 11.5a3 3 0 0 0 4.24 0l3-3a3 3 0 0 0-4.24-4.24L10.5 5.2M11.5 8.5a3 3 0 0 0-4.24 0l-3 3a3 3 0 0 0 4.24 4.24l1-1",
} as const;

export type IconName = keyof typeof PATHS;

/** A picture beside words; it says nothing that they do not. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
