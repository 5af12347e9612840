import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { ensureBundle } from "../../../scripts/host/bundle.ts";
import { ADMIN, TestRelay } from "../../fixtures/relay.ts";
import { fontSettings } from "./browser-path.ts";
import { withHistory } from "./history.ts";
import { type ExpectedFailure, PageWatch } from "./page-watch.ts";
import { type PagesHost, startPagesHost } from "./pages-host.ts";

/** Where the panel runs: beside the relay at /web, or on Pages in front of it. */
export const HOSTS = ["worker", "pages"] as const;
export type Host = (typeof HOSTS)[number];

/** What the panel speaks, each with the browser that gets it by default. */
export const LANGUAGES = { en: "en-GB", zh: "zh-CN" } as const;
export type Language = keyof typeof LANGUAGES;

export const THEMES = ["light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

export const DEVICES = {
  desktop: { viewport: { width: 1280, height: 860 } },
  phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
} as const;
export type Device = keyof typeof DEVICES;

/** What a page waits for at the most; nothing depends on it where all is well. */
const PATIENCE_MS = 20_000;
const SESSION_COOKIE = "relay_session";
const ADDRESS_HEADER = "x-client-address";

export interface StageOptions {
  /** Default: beside the relay only. */
  hosts?: readonly Host[];
  vars?: Record<string, string>;
  browserPath: string;
}

export interface VisitOptions {
  host?: Host;
  language?: Language;
  theme?: Theme;
  device?: Device;
  /** Default: signed in, by the cookie that a sign-in gives. */
  signedIn?: boolean;
  /** What the panel opens at, below /web. */
  path?: string;
  expected?: ExpectedFailure[];
  /** The network that the browser seems to be in: wrong passwords are counted by it. */
  address?: string;
  /** Bigger pictures on small screens. */
  deviceScaleFactor?: number;
}

export interface Visit {
  page: Page;
  context: BrowserContext;
  watch: PageWatch;
}

/** A relay in front of a fake upstream, the panel in front of it, and a browser. */
export class Stage {
  readonly relay: TestRelay;
  readonly #browser: Browser;
  readonly #pages: PagesHost | null;
  readonly #registryDir: string;
  readonly #visits: Visit[] = [];
  #token: string | null = null;

  private constructor(
    relay: TestRelay,
    browser: Browser,
    pages: PagesHost | null,
    registryDir: string,
  ) {
    this.relay = relay;
    this.#browser = browser;
    this.#pages = pages;
    this.#registryDir = registryDir;
  }

  static async start({ hosts = ["worker"], vars, browserPath }: StageOptions): Promise<Stage> {
    const registryDir = mkdtempSync(join(tmpdir(), "relay-registry-"));
    const relay = await TestRelay.start({
      vars: { LOG_LEVEL: "info", CLIENT_ADDRESS_HEADER: ADDRESS_HEADER, ...vars },
      bundle: withHistory(await ensureBundle()),
      registryDir,
    });
    let pages: PagesHost | null = null;
    try {
      if (hosts.includes("pages")) pages = await startPagesHost(registryDir, relay.url);
      const browser = await chromium.launch({
        executablePath: browserPath,
        // Tests run as root in containers, where the sandbox cannot.
        args: ["--no-sandbox", "--font-render-hinting=none"],
        env: { ...definedOf(process.env), ...fontSettings(browserPath) },
      });
      return new Stage(relay, browser, pages, registryDir);
    } catch (error) {
      await pages?.stop();
      await relay.stop();
      rmSync(registryDir, { recursive: true, force: true });
      throw error;
    }
  }

  /** Origin of the panel. */
  origin(host: Host = "worker"): string {
    if (host === "worker") return this.relay.url;
    if (this.#pages === null) throw new Error("this stage was started without Pages");
    return this.#pages.url;
  }

  /** Opens the panel in a browser of its own: no cookies, no settings, nothing kept. */
  async visit(options: VisitOptions = {}): Promise<Visit> {
    const { host = "worker", language = "en", theme = "light", device = "desktop" } = options;
    const origin = this.origin(host);
    const { deviceScaleFactor, address } = options;
    const context = await this.#browser.newContext({
      ...DEVICES[device],
      ...(deviceScaleFactor === undefined ? {} : { deviceScaleFactor }),
      ...(address === undefined ? {} : { extraHTTPHeaders: { [ADDRESS_HEADER]: address } }),
      baseURL: origin,
      colorScheme: theme,
      locale: LANGUAGES[language],
      timezoneId: "Europe/Berlin",
      reducedMotion: "reduce",
    });
    context.setDefaultTimeout(PATIENCE_MS);
    const watch = await PageWatch.on(context, origin, options.expected);
    if (options.signedIn ?? true) await this.#signIn(context);
    const page = await context.newPage();
    const visit = { page, context, watch };
    this.#visits.push(visit);
    await page.goto(`/web${options.path ?? "/"}`);
    return visit;
  }

  /**
   * Ends all visits.
   *
   * @param pictures where a picture of each page goes; null: none is wanted
   * @returns what went wrong on their pages
   */
  async endVisits(pictures: string | null = null): Promise<string[]> {
    const problems: string[] = [];
    for (const [index, { context, page, watch }] of this.#visits.splice(0).entries()) {
      if (pictures !== null && !page.isClosed()) {
        mkdirSync(pictures, { recursive: true });
        await page.screenshot({ path: join(pictures, `${index}.png`), fullPage: true });
      }
      await context.close();
      problems.push(...watch.problems);
    }
    return problems;
  }

  async stop(): Promise<void> {
    await this.#browser.close();
    await this.#pages?.stop();
    await this.relay.stop();
    rmSync(this.#registryDir, { recursive: true, force: true });
  }

  /** A password takes half a second to check, so visits share one session until it is ended. */
  async #signIn(context: BrowserContext): Promise<void> {
    this.#token ??= await this.#newToken();
    await context.addCookies([
      {
        name: SESSION_COOKIE,
        value: this.#token,
        domain: new URL(this.relay.url).hostname,
        path: "/admin",
        httpOnly: true,
        sameSite: "Strict",
      },
    ]);
  }

  async #newToken(): Promise<string> {
    const answer = await fetch(`${this.relay.url}/admin/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(ADMIN),
    });
    const { data } = (await answer.json()) as { data: { token: string } };
    return data.token;
  }
}

function definedOf(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
