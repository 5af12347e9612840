import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { errorWords, failureWords } from "../../admin-pages/src/i18n/errors.ts";
import { language, languageOf } from "../../admin-pages/src/i18n/language.ts";
import { projectDir } from "../../scripts/host/project.ts";

const WORDS_DIR = join(projectDir, "admin-pages/src/i18n");
/** They hold no words: how languages are told apart, and how words are kept. */
const OTHER_FILES = ["dictionary.ts", "language.ts"];
/** Names, which are the same in every language. */
const NAMES = /^(?:Claude Code|curl|Python SDK|TypeScript SDK|ID)$/;
const CHINESE = /\p{Script=Han}/u;

type Phrase = string | ((...values: string[]) => string) | Record<string, string>;
interface Dictionary {
  file: string;
  en: Record<string, Phrase>;
  zh: Record<string, Phrase>;
}

const dictionaries = await allDictionaries();

afterEach(() => {
  language.value = "en";
});

describe.each(dictionaries)("the words of $file", ({ en, zh }) => {
  test("are there in both languages, none of them empty", () => {
    expect([...texts(zh).keys()].sort()).toEqual([...texts(en).keys()].sort());
    const empty = [...texts(en), ...texts(zh)].filter(([, text]) => text.trim() === "");
    expect(empty).toEqual([]);
  });

  test("are Chinese in the Chinese one, and not in the English one", () => {
    const notChinese = [...texts(zh)].filter(([, text]) => !CHINESE.test(text) && hasWords(text));
    expect(notChinese).toEqual([]);
    expect([...texts(en)].filter(([, text]) => CHINESE.test(text))).toEqual([]);
  });

  test("say whatever they are given, in both languages", () => {
    for (const [name, phrase] of Object.entries(en)) {
      if (typeof phrase !== "function") continue;
      const other = zh[name] as typeof phrase;
      const values = Array.from({ length: phrase.length }, (_, at) => `<${at}>`);
      for (const value of values) {
        expect(phrase(...values), name).toContain(value);
        expect(other(...values), name).toContain(value);
      }
    }
  });
});

test("the language is the first of the browser's that the panel speaks", () => {
  expect(languageOf(["zh-TW", "en"])).toBe("zh");
  expect(languageOf(["de-DE", "zh", "en"])).toBe("zh");
  expect(languageOf(["en-GB", "zh-CN"])).toBe("en");
  expect(languageOf(["fr"])).toBe("en");
});

test("every code of the admin API's errors has words of its own", async () => {
  const { readFileSync } = await import("node:fs");
  const source = readFileSync(join(projectDir, "src/admin/envelope.ts"), "utf8");
  const table = /const STATUS = \{([\s\S]*?)\}/.exec(source)?.[1] ?? "";
  const codes = [...table.matchAll(/(\w+): \d{3}/g)].map(([, code]) => code);
  expect(codes.length).toBeGreaterThan(10);
  // Only a WebSocket's handshake can get it.
  const asked = codes.filter((code) => code !== "upgrade_required");
  expect(Object.keys(errorWords.all.zh.reasons)).toEqual(expect.arrayContaining(asked));
});

test("a failure is told in the reader's language, with the relay's own words beside it", () => {
  const failure = {
    code: "conflict",
    status: 409,
    message: "The key was changed by someone else just now.",
    requestId: "rly_1",
    retryAfterS: null,
  };
  expect(failureWords(failure)).toEqual({ summary: failure.message, detail: "" });
  language.value = "zh";
  const told = failureWords(failure);
  expect(told.summary).toMatch(CHINESE);
  expect(told.detail).toBe(failure.message);
  expect(failureWords({ ...failure, code: "of_tomorrow" }).summary).toMatch(CHINESE);
});

async function allDictionaries(): Promise<Dictionary[]> {
  const files = readdirSync(WORDS_DIR).filter((name) => !OTHER_FILES.includes(name));
  const found = await Promise.all(
    files.map(async (file) => {
      const exported = (await import(join(WORDS_DIR, file))) as Record<
        string,
        { all?: Dictionary }
      >;
      return Object.values(exported).flatMap(({ all }) => (all ? [{ ...all, file }] : []));
    }),
  );
  if (found.some((each) => each.length === 0)) throw new Error("a file holds no dictionary");
  return found.flat();
}

/** Each text by its place; of a phrase with values, what it comes to. */
function texts(words: Record<string, Phrase>): Map<string, string> {
  const entries = Object.entries(words).flatMap(([name, phrase]): [string, string][] => {
    if (typeof phrase === "string") return [[name, phrase]];
    if (typeof phrase === "function") return [[name, phrase("1", "2", "3")]];
    return Object.entries(phrase).map(([value, text]) => [`${name}.${value}`, text]);
  });
  return new Map(entries);
}

/** A sign, a number or a name reads the same everywhere. */
function hasWords(text: string): boolean {
  return /\p{Letter}{2}/u.test(text) && !NAMES.test(text);
}
