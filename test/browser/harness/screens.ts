import type { Page } from "playwright-core";
import type { Furniture } from "./seed.ts";

/** A screen as it is looked at by what goes through all of them: accessibility, pictures. */
export interface ScreenUnderTest {
  /** Of its pictures' files. */
  name: string;
  /** As `admin-pages/src/screens.ts` writes it; null: it stands before all of them. */
  route: string | null;
  /** Where it is in a furnished relay, below /web. Default: its route. */
  path?(furniture: Furniture): string;
  /** Default true. */
  signedIn?: boolean;
  /** Default true: it is worth a picture. */
  isPictured?: boolean;
  /** Default false: its picture is of a relay that has nothing yet. */
  isPicturedEmpty?: boolean;
  /** What is done before it is looked at. */
  arrange?(page: Page, furniture: Furniture): Promise<void>;
}

/** Every screen of the panel; a test holds this against the panel's own list. */
export const SCREENS: readonly ScreenUnderTest[] = [
  { name: "sign-in", route: null, path: () => "/", signedIn: false },
  { name: "dashboard", route: "/", arrange: drawn },
  { name: "requests", route: "/requests" },
  {
    name: "request",
    route: "/requests/:id",
    path: ({ requestId }) => `/requests/${requestId}`,
  },
  { name: "logs", route: "/logs" },
  { name: "audit", route: "/logs/audit" },
  { name: "settings", route: "/settings" },
  { name: "key-usage", route: "/usage", signedIn: false, arrange: pasteKey },
  { name: "keys", route: "/keys" },
  {
    name: "key",
    route: "/keys/:id",
    path: ({ keys }) => `/keys/${keys["Ada, laptop"]?.id}`,
  },
  { name: "accounts", route: "/accounts" },
  { name: "account-new", route: "/accounts/new" },
  {
    name: "account",
    route: "/accounts/:id",
    path: ({ accounts }) => `/accounts/${accounts["Max, team"]}`,
  },
  { name: "start", route: "/start", isPicturedEmpty: true },
  { name: "not-found", route: null, path: () => "/no/such/page", isPictured: false },
];

/** @param furniture null: on an empty relay, where only screens that show no one thing are */
export function pathOf(screen: ScreenUnderTest, furniture: Furniture | null): string {
  if (screen.path === undefined) return screen.route ?? "/";
  if (furniture === null) throw new Error(`${screen.name} is not on an empty relay`);
  return screen.path(furniture);
}

async function pasteKey(page: Page, { keys }: Furniture): Promise<void> {
  await page.locator("input[type=password]").fill(keys["Ada, laptop"]?.apiKey ?? "");
  await page.locator("button[type=submit]").click();
  await page.locator(".figures").waitFor();
  await settled(page);
}

/** Until its charts are drawn: their drawing comes on its own. */
async function drawn(page: Page): Promise<void> {
  await page.locator(".drawing canvas").first().waitFor();
}

/** Until the screen is there with all that it shows: its title stands, and nothing is on its way. */
export async function settled(page: Page): Promise<void> {
  await page.locator("h1").first().waitFor();
  await page.waitForFunction(() => document.querySelector(".skeleton") === null);
}
