import { describe, expect, test } from "vitest";
import { clientAnswer, upstreamHeaders } from "../../src/upstream/headers.ts";

describe("only the credential is swapped", () => {
  const client = new Headers({
    "x-api-key": "cr_x",
    authorization: "Bearer cr_x",
    "api-key": "cr_x",
    cookie: "a=b",
    origin: "https://evil.example",
    "cf-connecting-ip": "192.0.2.1",
    "cf-ray": "1",
    "x-forwarded-for": "192.0.2.1",
    "x-real-ip": "192.0.2.1",
    forwarded: "for=192.0.2.1",
    connection: "keep-alive, x-hop",
    "x-hop": "1",
    te: "trailers",
    "accept-encoding": "gzip, br",
    "user-agent": "claude-cli/2.1.330",
    "anthropic-version": "2026-10-21",
    "anthropic-beta": "a-1,b-2",
    "anthropic-unknown": "kept",
    "x-claude-code-session-id": "s",
    "x-stainless-lang": "js",
    "content-type": "application/json",
  });
  const apiKey = {
    kind: "api_key",
    secret: "sk-1",
    generation: 1,
    usableUntilMs: null,
    proxy: null,
  } as const;
  const oauth = { ...apiKey, kind: "oauth" } as const;

  test("with an API key: one credential, no beta added, everything else as it came", () => {
    expect(Object.fromEntries(upstreamHeaders(client, apiKey))).toEqual({
      "x-api-key": "sk-1",
      "accept-encoding": "identity",
      "user-agent": "claude-cli/2.1.330",
      "anthropic-version": "2026-10-21",
      "anthropic-beta": "a-1,b-2",
      "anthropic-unknown": "kept",
      "x-claude-code-session-id": "s",
      "x-stainless-lang": "js",
      "content-type": "application/json",
    });
  });

  test("with OAuth: a bearer, and the beta appended once", () => {
    const headers = upstreamHeaders(client, oauth);
    expect(headers.get("authorization")).toBe("Bearer sk-1");
    expect(headers.has("x-api-key")).toBe(false);
    expect(headers.get("anthropic-beta")).toBe("a-1,b-2,oauth-2025-04-20");
    expect(upstreamHeaders(headers, oauth).get("anthropic-beta")).toBe("a-1,b-2,oauth-2025-04-20");
    expect(upstreamHeaders(new Headers(), oauth).get("anthropic-beta")).toBe("oauth-2025-04-20");
  });

  test("`Connection` cannot be used to drop a header that upstream must see", () => {
    const tricky = new Headers({ connection: "anthropic-version", "anthropic-version": "v" });
    expect(upstreamHeaders(tricky, apiKey).get("anthropic-version")).toBe("v");
  });

  test("a user agent is added only where there was none", () => {
    expect(upstreamHeaders(new Headers(), apiKey).get("user-agent")).toMatch(
      /^claude-edge-relay\//,
    );
  });

  test("on the way back, cookies and hop-by-hop headers stay behind; limits on request only", () => {
    const headers = new Headers({
      "set-cookie": "a=b",
      "strict-transport-security": "max-age=63072000",
      "transfer-encoding": "chunked",
      "request-id": "req_1",
      "retry-after": "7",
      "anthropic-ratelimit-unified-status": "allowed",
      "anthropic-organization-id": "o",
    });
    const upstream = new Response(null, { status: 429, statusText: "Slow down", headers });
    const passed = clientAnswer(null, upstream, { requestId: "rly_1", stripRateLimits: false });
    expect([passed.status, passed.statusText]).toEqual([429, "Slow down"]);
    expect(Object.fromEntries(passed.headers)).toEqual({
      "request-id": "req_1",
      "retry-after": "7",
      "anthropic-ratelimit-unified-status": "allowed",
      "anthropic-organization-id": "o",
      "x-relay-request-id": "rly_1",
    });
    const stripped = clientAnswer(null, upstream, { requestId: "rly_1", stripRateLimits: true });
    expect(stripped.headers.has("anthropic-ratelimit-unified-status")).toBe(false);
    expect(stripped.headers.get("anthropic-organization-id")).toBe("o");
    expect(upstream.headers.has("set-cookie")).toBe(true);
  });
});
