import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { ADMIN } from "../fixtures/relay.ts";
import { HOSTS, LANGUAGES, type Language } from "./harness/stage.ts";
import { useStage } from "./harness/use-stage.ts";

const stage = useStage({ hosts: HOSTS });

/** What a reader sees, in each language. */
const WORDS: Record<
  Language,
  {
    title: string;
    username: string;
    password: string;
    signIn: string;
    signOut: string;
    wrong: string;
    throttled: RegExp;
  }
> = {
  en: {
    title: "Sign in",
    username: "User name",
    password: "Password",
    signIn: "Sign in",
    signOut: "Sign out",
    wrong: "Wrong user name or password.",
    throttled: /Too many wrong passwords.* in (?:\d+ seconds|30 s|[12]\d s|\d+ sec)/,
  },
  zh: {
    title: "登录",
    username: "用户名",
    password: "密码",
    signIn: "登录",
    signOut: "退出登录",
    wrong: "用户名或密码错误。",
    throttled: /错误密码次数过多，请在.*\d+.*后重试/,
  },
};
const LOGIN = "/admin/login";
/** After so many wrong passwords an address has to wait. */
const FREE_FAILURES = 5;

const CASES = HOSTS.flatMap((host) =>
  (Object.keys(LANGUAGES) as Language[]).map((language) => ({ host, language })),
);

async function signIn(page: Page, language: Language, password: string): Promise<void> {
  const words = WORDS[language];
  await page.getByLabel(words.username).fill(ADMIN.username);
  await page.getByLabel(words.password).fill(password);
  await page.getByRole("button", { name: words.signIn }).click();
}

describe.each(CASES)("on $host, in $language", ({ host, language }) => {
  const words = WORDS[language];
  const address = (name: string) => `${host}-${language}-${name}`;

  test("the right password opens the screen that was asked for, and signing out closes it", async () => {
    const { page, context } = await stage().visit({
      host,
      language,
      signedIn: false,
      path: "/no/such/page?tab=2",
      address: address("right"),
    });
    await page.getByRole("heading", { name: words.title, level: 1 }).waitFor();
    expect(await page.getAttribute("html", "lang")).toMatch(new RegExp(`^${language}`));
    await signIn(page, language, ADMIN.password);
    const leave = page.getByRole("button", { name: words.signOut });
    await leave.waitFor();
    expect(new URL(page.url()).pathname + new URL(page.url()).search).toBe(
      "/web/no/such/page?tab=2",
    );
    const [cookie] = await context.cookies(`${stage().origin(host)}/admin`);
    expect(cookie).toMatchObject({ path: "/admin", httpOnly: true, sameSite: "Strict" });
    expect(await page.evaluate(() => document.cookie)).toBe("");

    await leave.click();
    await page.getByRole("heading", { name: words.title, level: 1 }).waitFor();
    expect(await context.cookies(`${stage().origin(host)}/admin`)).toEqual([]);
    // The session itself is over, whoever still has the cookie.
    const answer = await fetch(`${stage().origin(host)}/admin/session`, {
      headers: { cookie: `relay_session=${cookie?.value}` },
    });
    expect(answer.status).toBe(401);
    await page.reload();
    await page.getByRole("heading", { name: words.title, level: 1 }).waitFor();
  });

  test("a wrong password is told in words, and the password is asked for again", async () => {
    const { page } = await stage().visit({
      host,
      language,
      signedIn: false,
      address: address("wrong"),
      expected: [{ status: 401, path: LOGIN }],
    });
    await signIn(page, language, "not the password");
    await page.getByText(words.wrong).waitFor();
    const password = page.getByLabel(words.password);
    expect(await password.inputValue()).toBe("");
    expect(await password.evaluate((field) => field === document.activeElement)).toBe(true);
  });

  test("who tried too often is told how long to wait", async () => {
    const from = address("often");
    for (let attempt = 0; attempt < FREE_FAILURES; attempt += 1) {
      const answer = await fetch(stage().origin(host) + LOGIN, {
        method: "POST",
        headers: { "content-type": "application/json", "x-client-address": from },
        body: JSON.stringify({ username: ADMIN.username, password: "guess" }),
      });
      expect(answer.status).toBe(401);
    }
    const { page } = await stage().visit({
      host,
      language,
      signedIn: false,
      address: from,
      expected: [{ status: 429, path: LOGIN }],
    });
    // Even the right one has to wait.
    await signIn(page, language, ADMIN.password);
    await page.getByText(words.throttled).waitFor();
  });
});

test("the language of the choice stays, whatever the browser's is", async () => {
  const { page } = await stage().visit({ language: "en", signedIn: false });
  await page.getByLabel("Language").selectOption({ label: "简体中文" });
  await page.getByRole("heading", { name: WORDS.zh.title, level: 1 }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: WORDS.zh.title, level: 1 }).waitFor();
  expect(await page.getAttribute("html", "lang")).toBe("zh-CN");
});
