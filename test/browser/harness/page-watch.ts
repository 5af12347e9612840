import type { BrowserContext, Request, Response } from "playwright-core";

/** A failed answer that a test brings about, and so is no problem. */
export interface ExpectedFailure {
  status: number;
  /** Begins the path. */
  path: string;
}

/** What the browser says of an answer that failed; the answer itself is judged. */
const OF_AN_ANSWER = /^Failed to load resource/;
/** A page that goes elsewhere, or has no use for an answer any more, breaks its own calls off. */
const OF_THE_PAGES_OWN = "net::ERR_ABORTED";
const LOWEST_FAILED_STATUS = 400;
/** The panel has to ask whether anyone is signed in. */
const ALWAYS_EXPECTED: ExpectedFailure[] = [{ status: 401, path: "/admin/session" }];

/** Tells a page's script of what the page's policy has stopped, which then stands in the console. */
const TELL_VIOLATIONS = `document.addEventListener("securitypolicyviolation", (event) => {
  console.error("stopped by the page's policy: " + event.violatedDirective + " " + event.blockedURI);
});`;

/**
 * Watches all pages of a context. Whatever a reader of the console would frown at is a problem: a
 * violation of the page's policy, an error or warning, an error that nobody caught, a failed request
 * that the test does not expect, and any request to another origin.
 */
export class PageWatch {
  readonly #origin: string;
  readonly #expected: ExpectedFailure[];
  readonly #problems: string[] = [];

  private constructor(origin: string, expected: ExpectedFailure[]) {
    this.#origin = origin;
    this.#expected = [...ALWAYS_EXPECTED, ...expected];
  }

  static async on(
    context: BrowserContext,
    origin: string,
    expected: ExpectedFailure[] = [],
  ): Promise<PageWatch> {
    const watch = new PageWatch(origin, expected);
    await context.addInitScript(TELL_VIOLATIONS);
    context.on("console", (message) => {
      const isProblem = message.type() === "error" || message.type() === "warning";
      if (!isProblem || OF_AN_ANSWER.test(message.text())) return;
      watch.#problems.push(`console ${message.type()}: ${message.text()}`);
    });
    context.on("weberror", (error) => {
      watch.#problems.push(`not caught: ${error.error().message}`);
    });
    context.on("request", (request) => watch.#sent(request.url()));
    context.on("requestfailed", (request) => watch.#failed(request));
    context.on("response", (response) => watch.#answered(response));
    context.on("page", (page) => {
      page.on("websocket", (socket) => watch.#sent(socket.url().replace(/^ws/, "http")));
    });
    return watch;
  }

  /** From now on. */
  expect(...failures: ExpectedFailure[]): void {
    this.#expected.push(...failures);
  }

  /** In the order in which they came; each once. */
  get problems(): string[] {
    return [...new Set(this.#problems)];
  }

  /** For a test that brought all of it about, and looked at it. */
  forget(): void {
    this.#problems.length = 0;
  }

  #sent(url: string): void {
    if (!/^https?:/.test(url)) return; // data: and blob: leave the page for nowhere
    const { origin, pathname } = new URL(url);
    if (origin !== this.#origin) this.#problems.push(`to another origin: ${origin}${pathname}`);
  }

  #failed(request: Request): void {
    const reason = request.failure()?.errorText ?? "";
    if (reason === OF_THE_PAGES_OWN) return;
    this.#problems.push(`failed: ${request.method()} ${request.url()} ${reason}`);
  }

  #answered(response: Response): void {
    const status = response.status();
    if (status < LOWEST_FAILED_STATUS) return;
    const { pathname } = new URL(response.url());
    const isExpected = this.#expected.some(
      (failure) => failure.status === status && pathname.startsWith(failure.path),
    );
    if (isExpected) return;
    this.#problems.push(`answered ${status}: ${response.request().method()} ${pathname}`);
  }
}
