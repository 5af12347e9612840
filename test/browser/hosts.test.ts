import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { projectDir } from "../../scripts/host/project.ts";
import { HOSTS } from "./harness/stage.ts";
import { useStage } from "./harness/use-stage.ts";

const PAGE = readFileSync(join(projectDir, "dist/panel/web/index.html"), "utf8");
const SCRIPT = /<script[^>]*\bsrc="([^"]+)"/.exec(PAGE)?.[1] ?? "";

const stage = useStage({ hosts: HOSTS });

const get = (host: (typeof HOSTS)[number], path: string, init: RequestInit = {}) =>
  fetch(stage().origin(host) + path, { redirect: "manual", ...init });

test("the two hosts answer alike: status, policy, caching, and no other origin is let in", async () => {
  const shown = ["content-security-policy", "permissions-policy", "referrer-policy"].concat(
    ["cross-origin-opener-policy", "cross-origin-resource-policy", "x-content-type-options"],
    ["cache-control", "location", "access-control-allow-origin"],
  );
  for (const path of ["/", "/web", "/web/", "/web/keys?x=1", SCRIPT, "/web/assets/gone.js"]) {
    const [here, there] = await Promise.all(HOSTS.map((host) => get(host, path)));
    if (here === undefined || there === undefined) throw new Error("two hosts are wanted");
    const seen = ({ status, headers }: Response) => [
      status,
      shown.map((name) => headers.get(name)),
    ];
    expect(seen(there), path).toEqual(seen(here));
    expect(there.headers.get("content-security-policy"), path).toContain("default-src 'none'");
    expect(there.headers.get("access-control-allow-origin"), path).toBeNull();
    expect(await there.text(), path).toBe(await here.text());
  }
});

test("on Pages too, what was not changed is not sent again", async () => {
  const etag = (await get("pages", "/web/keys")).headers.get("etag") ?? "";
  expect(etag).not.toBe("");
  const again = await get("pages", "/web/keys", { headers: { "if-none-match": etag } });
  expect(again.status).toBe(304);
});

test("Pages takes no messages: they go to the relay itself, and the panel is told where that is", async () => {
  const before = stage().relay.fake.ledger.totals().requests;
  for (const path of ["/v1/messages", "/api/v1/messages", "/v1/messages/count_tokens"]) {
    for (const method of ["GET", "POST"]) {
      const answer = await get("pages", path, { method });
      expect(answer.status, `${method} ${path}`).toBe(404);
      expect(await answer.text()).toContain("Messages go to the relay");
    }
  }
  expect(stage().relay.fake.ledger.totals().requests).toBe(before);
  expect(await (await get("pages", "/web/relay.json")).json()).toEqual({ url: stage().relay.url });
});

test("what a key holder reads comes through Pages as from the relay", async () => {
  await stage().relay.addApiKeyAccount("only");
  const key = await stage().relay.createKey({ name: "holder" });
  const headers = { "x-api-key": key.apiKey };
  for (const path of ["/api/v1/key-info", "/v1/usage", "/v1/models"]) {
    expect((await get("pages", path, { headers })).status, path).toBe(200);
    expect((await get("pages", path)).status, path).toBe(401);
  }
  expect(await (await get("pages", "/health")).json()).toMatchObject({ status: "ok" });
});

test("a Pages project that is bound to no relay says so", async () => {
  const { onRequest } = await import(join(projectDir, "admin-pages/functions/[[path]].ts"));
  const request = new Request("https://panel.example/admin/session");
  const answer: Response = await onRequest({ request, env: {} });
  expect(answer.status).toBe(503);
  expect(await answer.json()).toMatchObject({
    success: false,
    error: "unavailable",
    message: expect.stringContaining("[[services]]"),
  });
});

describe.each(HOSTS)("in a browser, on %s", (host) => {
  test("the session's cookie reads, changes and listens, and another origin does none of it", async () => {
    const { page, watch } = await stage().visit({ host });
    const inPage = await page.evaluate(async () => {
      const read = await fetch("/admin/session");
      const made = await fetch("/admin/api-keys", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ name: "from the page" }),
      });
      const live = `${location.origin.replace("http", "ws")}/admin/logs/live`;
      const heard = await new Promise((settle) => {
        const socket = new WebSocket(live);
        socket.onmessage = ({ data }) => {
          settle(JSON.parse(data).type);
          socket.close();
        };
        socket.onerror = () => settle("refused");
      });
      return { read: read.status, made: made.status, heard };
    });
    expect(inPage).toEqual({ read: 200, made: 201, heard: "hello" });

    const cookies = await page.context().cookies(`${stage().origin(host)}/admin`);
    const cookie = `relay_session=${cookies[0]?.value}`;
    const origin = "https://elsewhere.example";
    const foreign = await get(host, "/admin/api-keys", {
      method: "POST",
      headers: { cookie, origin, "content-type": "application/json" },
      body: JSON.stringify({ name: "from elsewhere" }),
    });
    expect(foreign.status).toBe(403);
    const preflight = await get(host, "/admin/api-keys", {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST" },
    });
    expect(preflight.headers.get("access-control-allow-origin")).toBeNull();
    expect(watch.problems).toEqual([]);
  });

  test("what the page's policy stops, and what goes elsewhere or fails, is seen by the tests", async () => {
    const { page, watch } = await stage().visit({ host });
    await page.evaluate(async () => {
      const script = document.createElement("script");
      script.textContent = "document.title = 'inline'";
      document.head.append(script);
      const style = document.createElement("style");
      style.textContent = "body { display: none }";
      document.head.append(style);
      await fetch("http://127.0.0.1:9/elsewhere").catch(() => {});
      await fetch("/web/assets/gone.js");
      setTimeout(() => {
        throw new Error("nobody catches this");
      });
      await new Promise((settle) => setTimeout(settle));
    });
    expect(await page.title()).not.toBe("inline");
    const problems = watch.problems.join("\n");
    expect(problems).toMatch(/stopped by the page's policy: script-src-elem inline/);
    expect(problems).toMatch(/stopped by the page's policy: style-src-elem inline/);
    expect(problems).toMatch(/stopped by the page's policy: connect-src http:\/\/127\.0\.0\.1:9/);
    expect(problems).toMatch(/answered 404: GET \/web\/assets\/gone\.js/);
    expect(problems).toMatch(/not caught: nobody catches this/);
    watch.forget();
  });
});
