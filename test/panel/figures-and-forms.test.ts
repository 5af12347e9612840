import { afterEach, expect, test } from "vitest";
import type { RelayKey } from "../../admin-pages/src/api/keys.ts";
import { compact, count, dollars, percent } from "../../admin-pages/src/format/numbers.ts";
import {
  duration,
  relative,
  shortTime,
  timeZone,
  took,
  wholeTime,
} from "../../admin-pages/src/format/times.ts";
import { language } from "../../admin-pages/src/i18n/language.ts";
import { credentialFrom } from "../../admin-pages/src/screens/accounts/credential.ts";
import { keysThatFit, sortedKeys } from "../../admin-pages/src/screens/keys/filter-keys.ts";
import {
  draftOf,
  list,
  mistakesOf,
  settingsOf,
} from "../../admin-pages/src/screens/keys/key-draft.ts";
import { commandFor } from "../../admin-pages/src/screens/start/commands.ts";

const HOUR_MS = 3_600_000;
const zoneOfThisMachine = timeZone.value;

afterEach(() => {
  language.value = "en";
  timeZone.value = zoneOfThisMachine;
});

test("numbers are written as the reader's language writes them", () => {
  expect(count(1234567.891)).toBe("1,234,567.89");
  expect(compact(12_345)).toBe("12.3K");
  expect(compact(999)).toBe("999");
  language.value = "zh";
  expect(compact(123_456)).toBe("12.3万");
});

test("a cost never looks like nothing where it is something", () => {
  expect(dollars(0)).toBe("$0.00");
  expect(dollars(1234.5)).toBe("$1,234.50");
  expect(dollars(0.25)).toBe("$0.25");
  expect(dollars(0.0314)).toBe("$0.031");
  expect(dollars(0.0000314)).toBe("$0.000031");
});

test("a share shows a digit more where it is small", () => {
  expect(percent(0)).toBe("0%");
  expect(percent(0.425)).toBe("43%");
  expect(percent(0.0125)).toBe("1.3%");
});

test("a time shows its zone, and is that zone's", () => {
  timeZone.value = "Asia/Shanghai";
  expect(wholeTime("2026-11-24T21:43:07Z")).toMatch(/25.*05:43:07.*GMT\+8/);
  expect(shortTime("2026-11-24T21:43:07Z")).toMatch(/25.*05:43.*GMT\+8/);
  timeZone.value = "UTC";
  expect(wholeTime("2026-11-24T21:43:07Z")).toMatch(/24.*21:43:07.*UTC/);
});

test("a span is told in its two largest units", () => {
  expect(duration(0)).toBe("0 s");
  expect(duration(65_000)).toBe("1 min 5 s");
  expect(duration(2 * HOUR_MS)).toBe("2 h");
  expect(duration(51 * HOUR_MS + 5_000)).toBe("2 d 3 h");
  expect(took(84.4)).toBe("84 ms");
  expect(took(1_234)).toBe("1.23 s");
  expect(took(200_000)).toBe("3 min 20 s");
  language.value = "zh";
  expect(duration(65_000)).toBe("1分5秒");
});

test("how long ago is told in words, also of what is yet to come", () => {
  const now = Date.parse("2026-11-24T12:00:00Z");
  expect(relative("2026-11-24T11:59:57Z", now)).toBe("now");
  expect(relative("2026-11-24T09:00:00Z", now)).toMatch(/^3 hr?\.? ago$/);
  expect(relative("2026-11-24T12:05:00Z", now)).toMatch(/^in 5 min/);
});

test("a key's form gives back what it was given, and nothing for what is empty", () => {
  const key = exampleKey({
    limits: {
      concurrency: 0,
      window: { minutes: 60, requests: 100, tokens: null, cost: 2.5 },
      dailyCost: 5,
      weeklyCost: null,
      monthlyCost: null,
      totalCost: null,
      weeklyFamilyCost: { family: "opus", cost: 10 },
    },
  });
  const settings = settingsOf(draftOf(key));
  expect(settings.limits).toEqual(key.limits);
  expect(settings).toMatchObject({ name: key.name, tags: key.tags, allowedModels: null });
  expect(settingsOf({ ...draftOf(null), name: " x " })).toMatchObject({
    name: "x",
    tags: [],
    expiresAt: null,
    accountId: null,
    limits: { concurrency: null, window: null, dailyCost: null, weeklyFamilyCost: null },
  });
});

test("a key's form says what is wrong before it is sent", () => {
  const draft = {
    ...draftOf(null),
    name: " ",
    dailyCost: "-1",
    concurrency: "1.5",
    totalCost: "x",
  };
  expect(mistakesOf(draft)).toEqual({
    name: "needName",
    dailyCost: "badNumber",
    totalCost: "badNumber",
    concurrency: "badWhole",
  });
  expect(mistakesOf({ ...draftOf(null), name: "a", windowTokens: "5" })).toEqual({
    windowMinutes: "needWindow",
  });
});

test("tags may be typed with the commas of either script", () => {
  expect(list("team, ci，测试、team,, ")).toEqual(["team", "ci", "测试"]);
});

test("a search finds every word wherever it stands, and counts names as people do", () => {
  const keys = ["key 10", "key 9", "Key 2"].map((name) => exampleKey({ id: name, name }));
  const gone = exampleKey({ id: "gone", name: "key 11", status: "deleted" });
  const all = { text: "", status: "present", tag: "" } as const;
  expect(keysThatFit([...keys, gone], all)).toHaveLength(3);
  expect(keysThatFit([...keys, gone], { ...all, status: "deleted" })).toEqual([gone]);
  expect(keysThatFit(keys, { ...all, text: "9 TEAM" }).map(({ name }) => name)).toEqual(["key 9"]);
  expect(keysThatFit(keys, { ...all, tag: "other" })).toEqual([]);
  const sorted = sortedKeys(keys, { by: "name", isDescending: false }, new Map(), "en");
  expect(sorted.map(({ name }) => name)).toEqual(["Key 2", "key 9", "key 10"]);
});

test("a credentials file is taken whole or in part, and anything else is not", () => {
  const login = { accessToken: "sk-ant-oat01-x", refreshToken: "r", expiresAt: 1 };
  expect(credentialFrom("pasted", JSON.stringify({ claudeAiOauth: login }))).toEqual({
    claudeAiOauth: login,
  });
  expect(credentialFrom("pasted", JSON.stringify(login))).toEqual({ claudeAiOauth: login });
  for (const text of ["", "sk-ant-oat01-x", "null", "[]", "{}"]) {
    expect(credentialFrom("pasted", text)).toBeNull();
  }
  expect(credentialFrom("apiKey", " sk-ant-api03-x\n")).toEqual({ apiKey: "sk-ant-api03-x" });
});

test.each(["claudeCode", "curl", "python", "typescript"] as const)(
  "the command for %s holds the relay's address and the key",
  (client) => {
    const command = commandFor(client, "https://relay.example", "cr_secret");
    expect(command).toContain("https://relay.example");
    expect(command).toContain("cr_secret");
  },
);

function exampleKey(fields: Partial<RelayKey>): RelayKey {
  return {
    id: "1",
    name: "Ada",
    description: "",
    hint: "cr_1...2",
    status: "active",
    tags: ["team"],
    enabled: true,
    expiresAt: null,
    activeForHours: null,
    allowedModels: null,
    deniedModels: [],
    accountId: null,
    accountTag: null,
    limits: {
      concurrency: null,
      window: null,
      dailyCost: null,
      weeklyCost: null,
      monthlyCost: null,
      totalCost: null,
      weeklyFamilyCost: null,
    },
    createdAt: "2026-11-24T00:00:00.000Z",
    activatedAt: null,
    revokedAt: null,
    deletedAt: null,
    ...fields,
  };
}
