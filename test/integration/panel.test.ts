import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { type OutgoingHttpHeaders, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ensureBundle } from "../../scripts/host/bundle.ts";
import { ensurePanel } from "../../scripts/host/panel-build.ts";
import { FIRST_VIEW_MAX_BYTES, firstViewOf } from "../../scripts/host/panel-size.ts";
import { projectDir } from "../../scripts/host/project.ts";
import { startRelay } from "../../scripts/relay-process.ts";
import { ADMIN, TestRelay } from "../fixtures/relay.ts";

const FILES = join(projectDir, "dist/panel/web");

let relay: TestRelay;
/** One of the panel's hashed files, as its page names it. */
let script: string;

beforeAll(async () => {
  relay = await TestRelay.start();
  script = /<script[^>]*\bsrc="([^"]+)"/.exec(page())?.[1] ?? "";
});
afterAll(() => relay.stop());

function page(): string {
  return readFileSync(join(FILES, "index.html"), "utf8");
}

const get = (path: string, init: RequestInit = {}) =>
  fetch(relay.url + path, { redirect: "manual", ...init });

describe("the panel is served at /web/", () => {
  test.each(["/web/", "/web/keys", "/web/requests/rly_1", "/web/usage/", "//web//logs"])(
    "%s is its one page, asked for again each time",
    async (path) => {
      const answer = await get(path);
      expect(answer.status).toBe(200);
      expect(answer.headers.get("content-type")).toMatch(/^text\/html/);
      expect(answer.headers.get("cache-control")).toBe("no-cache");
      expect(await answer.text()).toBe(page());
    },
  );

  test.each([
    ["/", "/web/"],
    ["/web", "/web/"],
    ["/web?lang=zh", "/web/?lang=zh"],
  ])("%s leads to %s, and not for good", async (path, target) => {
    const answer = await get(path);
    expect(answer.status).toBe(302);
    expect(answer.headers.get("location")).toBe(target);
  });

  test("every file that the page names is there, kept for good, and is what the build made", async () => {
    const named = [...page().matchAll(/(?:src|href)="(\/web\/[^"]+)"/g)].map(
      ([, path = ""]) => path,
    );
    expect(named.length).toBeGreaterThan(0);
    for (const path of named) {
      expect(path, "hashed").toMatch(/^\/web\/assets\/.+-[\w-]{8,}\.\w+$/);
      const answer = await get(path);
      expect(answer.status, path).toBe(200);
      expect(answer.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
      const bytes = readFileSync(join(FILES, path.slice("/web/".length)));
      expect(Buffer.from(await answer.arrayBuffer()).equals(bytes), path).toBe(true);
    }
  });

  test("what was not changed is not sent again", async () => {
    for (const path of ["/web/keys", script]) {
      const etag = (await get(path)).headers.get("etag") ?? "";
      const again = await get(path, { headers: { "if-none-match": etag } });
      expect(again.status, path).toBe(304);
      expect(await again.text()).toBe("");
      const changed = await get(path, { headers: { "if-none-match": '"another"' } });
      expect(changed.status, path).toBe(200);
    }
  });

  test("HEAD says what GET says, without a body", async () => {
    for (const path of ["/web/", "/web/keys", script]) {
      const [head, full] = [await get(path, { method: "HEAD" }), await get(path)];
      const shown = ({ status, headers }: Response) => [
        status,
        headers.get("etag"),
        headers.get("content-type"),
        headers.get("cache-control"),
      ];
      expect(shown(head), path).toEqual(shown(full));
      expect(await head.text()).toBe("");
    }
  });

  test.each([
    "/web/assets/gone-12345678.js",
    "/web/favicon.ico",
    "/web/assets/..%2f..%2findex.html",
  ])("%s is not there, and the page does not stand in for it", async (path) => {
    const answer = await get(path);
    expect(answer.status).toBe(404);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(await answer.text()).toContain("no such file");
  });

  test("the page is told where clients send messages", async () => {
    expect(await (await get("/web/relay.json")).json()).toEqual({ url: relay.url });
  });
});

test("whatever the panel answers, its policy lets nothing in from elsewhere or inline", async () => {
  const etag = (await get("/web/")).headers.get("etag") ?? "";
  const answers = await Promise.all([
    ...["/", "/web", "/web/", "/web/keys", script, "/web/assets/gone.js", "/web/relay.json"].map(
      (path) => get(path),
    ),
    get("/web/", { headers: { "if-none-match": etag } }),
    get("/web/", { method: "HEAD" }),
  ]);
  expect(answers.map(({ status }) => status)).toEqual([
    302, 302, 200, 200, 200, 404, 200, 304, 200,
  ]);
  for (const { headers, url } of answers) {
    expect(headers.get("content-security-policy"), url).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    );
    expect(headers.get("x-content-type-options"), url).toBe("nosniff");
    expect(headers.get("referrer-policy"), url).toBe("no-referrer");
    expect(headers.get("cross-origin-opener-policy"), url).toBe("same-origin");
    expect(headers.get("cross-origin-resource-policy"), url).toBe("same-origin");
    expect(headers.get("permissions-policy"), url).toContain("camera=()");
    expect(headers.get("access-control-allow-origin"), url).toBeNull();
    expect(headers.get("set-cookie"), url).toBeNull();
  }
});

describe("another host's name in a request", () => {
  const EVIL = "evil.example";
  /** Paths as they are, which `fetch` would tidy up. */
  const asked = (path: string, headers: OutgoingHttpHeaders, method = "GET", body = "") =>
    new Promise<{ status: number; headers: string; location: string; body: string }>(
      (settle, reject) => {
        const { hostname, port } = new URL(relay.url);
        const options = { host: hostname, port, path, method, headers };
        const sent = request(options, async (answer) => {
          let text = "";
          for await (const chunk of answer) text += String(chunk);
          settle({
            status: answer.statusCode ?? 0,
            headers: answer.rawHeaders.join("\n"),
            location: answer.headers.location ?? "",
            body: text,
          });
        });
        sent.on("error", reject).end(body);
      },
    );
  const NAMES = {
    host: EVIL,
    "x-forwarded-host": EVIL,
    "x-original-url": `//${EVIL}`,
    forwarded: `host=${EVIL}`,
  };

  test.each([
    ["/", "/web/"],
    ["/web", "/web/"],
    [`/web?next=//${EVIL}`, `/web/?next=//${EVIL}`],
    [`//${EVIL}/%2e%2e`, "/web/"],
    [`/?//${EVIL}`, `/web/?//${EVIL}`],
  ])("%s leads to %s of this very host", async (path, target) => {
    const answer = await asked(path, NAMES);
    expect([answer.status, answer.location]).toEqual([302, target]);
    const base = "http://relay.example";
    expect(new URL(answer.location, base).origin).toBe(base);
  });

  test.each([`//${EVIL}`, `/\\${EVIL}`, `/web//${EVIL}`, `/web/..//${EVIL}`, `/${EVIL}`])(
    "%s leads nowhere",
    async (path) => {
      const answer = await asked(path, NAMES);
      expect(answer.location).toBe("");
      expect([200, 404]).toContain(answer.status);
    },
  );

  test("neither a cookie nor an answer takes it up, and no one else is told of it", async () => {
    const login = JSON.stringify(ADMIN);
    const json = { ...NAMES, "content-type": "application/json" };
    const answers = [
      await asked("/admin/login", json, "POST", login),
      await asked("/admin/session", NAMES),
      await asked("/health", NAMES),
      await asked("/v1/models", NAMES),
      await asked("/web/", NAMES),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 401, 503, 401, 200]);
    expect(answers[0]?.headers).toMatch(/set-cookie\nrelay_session=/i);
    expect(answers[0]?.headers).not.toMatch(/domain=/i);
    for (const { headers, body } of answers) expect(headers + body).not.toContain(EVIL);
    // The one that tells a page its own address is asked for again each time.
    const own = await asked("/web/relay.json", NAMES);
    expect(own.headers).toContain("no-cache");
    expect(await (await get("/web/relay.json")).json()).toEqual({ url: relay.url });
  });
});

describe("files and messages have nothing to do with each other", () => {
  test.each(["/v1/models", "/api/v1/usage", "/v1/web/", "/v1/web/index.html", "/admin/web/"])(
    "%s is never a file",
    async (path) => {
      const answer = await get(path);
      expect([401, 404]).toContain(answer.status);
      expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
      expect(answer.headers.get("content-security-policy") ?? "").not.toContain("script-src");
    },
  );

  test("the root of the files is not the root of the relay", async () => {
    for (const name of readdirSync(FILES)) {
      const answer = await get(`/${name}`);
      expect(answer.status, name).toBe(404);
      expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
    }
  });

  test("the panel takes nothing: what is sent to it is refused as any unknown route", async () => {
    for (const method of ["POST", "PUT", "DELETE"]) {
      expect((await get("/web/keys", { method })).status).toBe(404);
    }
  });
});

test("a relay without its panel's files serves, and says what to do", async () => {
  const stateDir = mkdtempSync(join(tmpdir(), "relay-no-panel-"));
  const bundle = await ensureBundle();
  const { assets, ...options } = bundle.options;
  expect(assets).toMatchObject({ binding: "ASSETS" });
  const bare = await startRelay({ stateDir, bundle: { ...bundle, options } });
  try {
    const answer = await fetch(`${bare.url}/web/`);
    expect(answer.status).toBe(503);
    expect(await answer.text()).toContain("npm run build");
    expect((await fetch(`${bare.url}/v1/models`)).status).toBe(401);
  } finally {
    await bare.stop();
    rmSync(stateDir, { recursive: true, force: true });
  }
});

test("the panel is built where it is missing or stale, and not otherwise", async () => {
  const root = mkdtempSync(join(tmpdir(), "relay-panel-build-"));
  const source = join(root, "admin-pages");
  const built = () =>
    readdirSync(join(root, "dist/panel/web"), { recursive: true, encoding: "utf8" }).sort();
  const told: string[] = [];
  const ensure = async () => {
    await ensurePanel((line) => told.push(line), root);
    return told.splice(0);
  };
  try {
    // A commit from before the panel.
    expect(await ensure()).toEqual([]);
    mkdirSync(join(source, "src"), { recursive: true });
    symlinkSync(join(projectDir, "node_modules"), join(root, "node_modules"));
    writeFileSync(join(root, "package.json"), '{"type":"module"}');
    writeFileSync(join(source, "vite.config.ts"), 'export default { base: "/web/" };');
    writeFileSync(
      join(source, "index.html"),
      '<script type="module" src="./src/main.ts"></script>',
    );
    writeFileSync(join(source, "src/main.ts"), 'console.log("one");');
    expect(await ensure()).toEqual(["Building the panel ..."]);
    const first = built();
    expect(first).toContain("index.html");
    expect(await ensure()).toEqual([]);

    writeFileSync(join(source, "src/main.ts"), 'console.log("another");');
    expect(await ensure()).toEqual(["Building the panel ..."]);
    // One script, the new one: what no page names any more is gone.
    expect(built()).toHaveLength(first.length);
    expect(built()).not.toEqual(first);

    writeFileSync(join(source, "src/main.ts"), "console.log(");
    await expect(ensure()).rejects.toThrow("The panel could not be built.");
    expect(built()).toContain("index.html");
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

test("the first view is light enough for a phone", () => {
  const { scripts, scriptBytes } = firstViewOf(FILES);
  expect(scripts.length).toBeGreaterThan(0);
  expect(scriptBytes).toBeGreaterThan(0);
  expect(scriptBytes).toBeLessThan(FIRST_VIEW_MAX_BYTES);
});
