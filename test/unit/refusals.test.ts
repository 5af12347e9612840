import { describe, expect, test } from "vitest";
import type { CoolDownKind } from "../../src/accounts/roster-row.ts";
import { type Refusal, refuse } from "../../src/relay/refusal.ts";

describe("the relay's own errors", () => {
  const NOW_MS = Date.UTC(2026, 10, 23, 12, 0, 0);
  const none = { standings: [] };
  const cases: [Refusal, number, string, string | null, boolean][] = [
    [{ kind: "key_missing" }, 401, "authentication_error", null, true],
    [{ kind: "key_malformed" }, 401, "authentication_error", null, true],
    [{ kind: "key_unknown" }, 401, "authentication_error", null, true],
    [{ kind: "key_disabled" }, 403, "permission_error", null, true],
    [{ kind: "key_revoked" }, 403, "permission_error", null, true],
    [{ kind: "key_expired", expiredAtMs: NOW_MS }, 403, "permission_error", null, true],
    [{ kind: "body_empty" }, 400, "invalid_request_error", null, true],
    [{ kind: "body_not_json", atByte: 3 }, 400, "invalid_request_error", null, true],
    [{ kind: "model_missing" }, 400, "invalid_request_error", null, true],
    [{ kind: "address_unreadable" }, 400, "invalid_request_error", null, true],
    [{ kind: "headers_too_large" }, 431, "invalid_request_error", null, true],
    [{ kind: "body_too_large" }, 413, "request_too_large", null, true],
    [{ kind: "route_unknown", path: "/x" }, 404, "not_found_error", null, true],
    [{ kind: "method_not_allowed", allow: "POST" }, 405, "invalid_request_error", null, true],
    [{ kind: "no_account" }, 503, "api_error", "60", true],
    [
      { kind: "no_account_free", none, causes: [], allRuledOut: true, boundTo: null },
      503,
      "api_error",
      "60",
      true,
    ],
    [
      {
        kind: "no_account_free",
        none,
        causes: [{ words: "w", needsPerson: false }],
        allRuledOut: true,
        boundTo: null,
      },
      503,
      "api_error",
      "10",
      false,
    ],
    [{ kind: "key_store_unavailable" }, 503, "api_error", "5", false],
    [{ kind: "meter_unavailable" }, 503, "api_error", "5", false],
    [{ kind: "relay_overloaded" }, 503, "api_error", "2", false],
    [{ kind: "upstream_unreachable", timedOut: false }, 503, "api_error", "10", false],
    [{ kind: "not_configured", problems: ["X is missing."] }, 503, "api_error", "60", true],
  ];

  test.each(cases)("%j", async (refusal, status, type, retryAfter, final) => {
    const answer = refuse(refusal, "rly_1", NOW_MS);
    const body = (await answer.json()) as { error: { message: string } };
    expect(answer.status).toBe(status);
    expect(answer.headers.get("retry-after")).toBe(retryAfter);
    expect(answer.headers.get("x-should-retry")).toBe(final ? "false" : null);
    expect(answer.headers.get("request-id")).toBe("rly_1");
    expect(body).toEqual({
      type: "error",
      error: { type, message: expect.stringMatching(/^Relay: .+[.]$/) },
      request_id: "rly_1",
    });
  });

  test.each([
    ["for a limit", "rate_limited", 429, "rate_limit_error"],
    ["since upstream is overloaded", "overloaded", 503, "api_error"],
    ["since its way fails", "failing", 503, "api_error"],
  ] as const)(
    "where every account rests, the first %s, its return is told and true",
    async (_, kind, status, type) => {
      const row = { name: "a" } as never;
      const rest = (untilMs: number, why: CoolDownKind) => ({
        row,
        standing: { kind: "cooling_down", untilMs, rest: why, reason: "the reason" } as const,
      });
      const standings = [rest(NOW_MS + 90_500, "rate_limited"), rest(NOW_MS + 30_200, kind)];
      const refusal: Refusal = {
        kind: "no_account_free",
        none: { standings },
        causes: [],
        allRuledOut: true,
        boundTo: null,
      };
      const answer = refuse(refusal, "rly_1", NOW_MS);
      const body = (await answer.json()) as { error: { type: string; message: string } };
      expect(answer.status).toBe(status);
      expect(body.error.type).toBe(type);
      expect(body.error.message).toContain("the reason");
      expect(answer.headers.get("x-should-retry")).toBeNull();
      expect(answer.headers.get("retry-after")).toBe("31");
      expect(body.error.message).toContain("2026-11-23 12:00:30 UTC");
    },
  );
});
