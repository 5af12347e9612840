import { PANEL_HEADERS } from "./headers.ts";

/** The panel's screens live below this path; its page finds its files by absolute paths. */
export const PANEL_PATH = "/web/";
/** Where the panel asks for what it has to tell those who set up a client. */
const RELAY_FACTS = `${PANEL_PATH}relay.json`;
/** Named after what is in them, by the build. */
const HASHED_FILES = `${PANEL_PATH}assets/`;
/** What lies beside the page under a name that stays, such as an icon. A screen's name has no dot. */
const NAMED_FILE = /^\/web\/[^/]+\.[a-z0-9]+$/;

/** A hashed file never changes: it is asked for once. */
const KEEP_FOR_GOOD = "public, max-age=31536000, immutable";
/** Kept, and asked for again each time: a new build is there with the next look. */
const ASK_AGAIN = "no-cache";

/** Where a panel runs: beside its relay, or on Pages. */
export interface PanelHost {
  /** Hands out the panel's files: the static assets binding, of Workers or of Pages. */
  files: Pick<Fetcher, "fetch"> | undefined;
  /** Where clients send messages, without a trailing slash; null: this host was not told. */
  relayUrl: string | null;
}

/** Whether a path is the panel's, or leads to it. */
export function isPanelPath(path: string): boolean {
  return path === "/" || path === "/web" || path.startsWith(PANEL_PATH);
}

/**
 * A file of the panel, or its one page for each of its screens. Both hosts of the panel answer with
 * this, so that they cannot differ.
 *
 * @param request a GET or HEAD
 * @param path canonical: without a trailing or a doubled slash
 */
export async function panelAnswer(
  request: Request,
  path: string,
  { files, relayUrl }: PanelHost,
): Promise<Response> {
  const { pathname, search, origin } = new URL(request.url);
  if (path === "/" || (path === "/web" && pathname !== PANEL_PATH)) {
    return withHeaders(new Response(null, { status: 302 }), { location: PANEL_PATH + search });
  }
  if (path === RELAY_FACTS) {
    return withHeaders(Response.json({ url: relayUrl }), { "cache-control": ASK_AGAIN });
  }
  // A Worker that was deployed or started without its files still says what is missing.
  if (files === undefined) return notBuilt();
  const isHashed = path.startsWith(HASHED_FILES);
  const isFile = isHashed || NAMED_FILE.test(path);
  const file = await files.fetch(origin + (isFile ? path : PANEL_PATH), {
    method: request.method,
    headers: ifChanged(request.headers),
    redirect: "manual",
  });
  if (file.status === 404) return isFile ? noSuchFile() : notBuilt();
  return withHeaders(file, { "cache-control": isHashed ? KEEP_FOR_GOOD : ASK_AGAIN });
}

/** All of a request that decides about a file; its cookies are nobody's business there. */
function ifChanged(headers: Headers): Headers {
  const kept = new Headers();
  for (const name of ["if-none-match", "accept-encoding"]) {
    const value = headers.get(name);
    if (value !== null) kept.set(name, value);
  }
  return kept;
}

function noSuchFile(): Response {
  return inWords(404, "The panel has no such file. Where it was just updated, reload the page.");
}

function notBuilt(): Response {
  return inWords(
    503,
    "This relay is here, but its panel was not built. Its operator runs `npm run build` and deploys or starts it again; until then: npm run cli.",
  );
}

function inWords(status: number, text: string): Response {
  return withHeaders(new Response(`${text}\n`, { status }), {
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-store",
  });
}

function withHeaders(answer: Response, own: Record<string, string>): Response {
  const headers = new Headers(answer.headers);
  // Pages opens every file to all origins.
  headers.delete("access-control-allow-origin");
  for (const [name, value] of Object.entries({ ...PANEL_HEADERS, ...own })) {
    headers.set(name, value);
  }
  return new Response(answer.body, { status: answer.status, headers });
}
