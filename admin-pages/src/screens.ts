import type { ComponentType } from "preact";
import { lazy } from "preact-iso";
import type { shellWords } from "./i18n/shell.ts";
import type { IconName } from "./ui/icon.tsx";

/** Where the panel stands, on every host. */
export const BASE = "/web";

export interface Screen {
  /** Below {@link BASE}; `:id` is a parameter. */
  path: string;
  /** Loaded when it is opened. */
  component: ComponentType;
  /** Its place in the navigation, where it has one. */
  nav?: { label: keyof ReturnType<typeof shellWords>["nav"]; icon: IconName };
}

/** In the order of the navigation. The first one is where the panel begins. */
export const SCREENS: readonly Screen[] = [
  {
    path: "/",
    component: lazy(() => import("./screens/dashboard/dashboard.tsx")),
    nav: { label: "dashboard", icon: "dashboard" },
  },
  {
    path: "/keys",
    component: lazy(() => import("./screens/keys/keys.tsx")),
    nav: { label: "keys", icon: "keys" },
  },
  { path: "/keys/:id", component: lazy(() => import("./screens/keys/one-key.tsx")) },
  {
    path: "/accounts",
    component: lazy(() => import("./screens/accounts/accounts.tsx")),
    nav: { label: "accounts", icon: "accounts" },
  },
  { path: "/accounts/new", component: lazy(() => import("./screens/accounts/add-account.tsx")) },
  { path: "/accounts/:id", component: lazy(() => import("./screens/accounts/one-account.tsx")) },
  {
    path: "/requests",
    component: lazy(() => import("./screens/requests/requests.tsx")),
    nav: { label: "requests", icon: "requests" },
  },
  { path: "/requests/:id", component: lazy(() => import("./screens/requests/one-request.tsx")) },
  {
    path: "/logs",
    component: lazy(() => import("./screens/logs/logs.tsx")),
    nav: { label: "logs", icon: "logs" },
  },
  { path: "/logs/audit", component: lazy(() => import("./screens/logs/audit.tsx")) },
  {
    path: "/settings",
    component: lazy(() => import("./screens/settings/settings.tsx")),
    nav: { label: "settings", icon: "settings" },
  },
  {
    path: "/start",
    component: lazy(() => import("./screens/start/first-steps.tsx")),
    nav: { label: "start", icon: "start" },
  },
];

/** Screens that are open to those without an admin session. */
export const OPEN_SCREENS: readonly Screen[] = [
  { path: "/usage", component: lazy(() => import("./screens/key-usage/key-usage.tsx")) },
];
