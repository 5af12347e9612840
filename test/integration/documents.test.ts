import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { makeProgram } from "../../scripts/cli/program.ts";
import { shownSettings } from "../../src/admin/key-fields.ts";
import { CONFIG_NAMES } from "../../src/config.ts";
import { newKey } from "../../src/keys/new-key.ts";

const root = resolve(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(root, path), "utf8");
/** A page with the padding of its tables taken out, so that a cell stands as it was written. */
const page = (path: string) => read(path).replace(/ +\|/g, " |").replace(/\| +/g, "| ");

/** Names of README's table that only the scripts read. */
const SCRIPT_NAMES = ["PORT", "HOST", "RELAY_STATE_DIR", "ADMIN_PASSWORD"];
/** Scripts that npm runs without `run`. */
const SHORT_SCRIPTS = ["start", "test"];

interface Manifest {
  version: string;
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
}
const manifest = JSON.parse(read("package.json")) as Manifest;

const documents = [
  ...readdirSync(root).filter((name) => name.endsWith(".md")),
  ...filesBelow("docs").filter((path) => path.endsWith(".md")),
  "forward-proxy/README.md",
];

describe("every link leads somewhere", () => {
  test.each(documents)("%s", (path) => {
    const broken = linksOf(read(path)).filter((link) => !leadsSomewhere(path, link));
    expect(broken).toEqual([]);
  });

  test("and no decision is left out of sight", () => {
    const linked = new Set(
      documents.flatMap((path) =>
        linksOf(read(path)).map((link) => join(dirname(path), link.split("#", 1)[0] ?? "")),
      ),
    );
    const decisions = documents.filter((path) => path.startsWith("docs/decisions/"));
    expect(decisions.length).toBeGreaterThan(0);
    expect(decisions.filter((path) => !linked.has(path))).toEqual([]);
  });
});

test("every test that the threat model names exists, under just that name", () => {
  const path = "docs/security/threat-model.md";
  const lines = read(path).split("\n");
  const isOfTests = (line: string) => line.includes(".test.ts)");
  const named = lines.filter(isOfTests).flatMap((line) => {
    const link = /^ {2}- \[[^\]]+\]\(([^)]+\.test\.ts)\) (“.+”)$/.exec(line);
    // One test file a line, and at least one of its tests: anything else holds nothing.
    if (link === null) return [{ test: "", file: line, exists: false }];
    const [, target = "", names = ""] = link;
    const file = join(dirname(path), target);
    const source = existsSync(join(root, file)) ? read(file) : "";
    return names
      .slice(1, -1)
      .split("”, “")
      .map((test) => ({ test, file, exists: source.includes(JSON.stringify(test)) }));
  });
  expect(named.length).toBeGreaterThan(80);
  expect(named.filter(({ exists }) => !exists)).toEqual([]);
  // And no threat stands without one.
  const threats = lines.flatMap((line, at) =>
    line.startsWith("- **") ? [[line, at] as const] : [],
  );
  const [first = 0, last = 0] = ["## Threats", "## What is not defended"].map((heading) =>
    lines.indexOf(heading),
  );
  const bare = threats.filter(
    ([, at]) => at > first && at < last && !isOfTests(lines[at + 1] ?? ""),
  );
  expect(bare).toEqual([]);
});

test.each(documents)("npm scripts that %s names exist", (path) => {
  const text = read(path);
  const run = [...text.matchAll(/\bnpm run (?:--silent )?([\w:-]+)/g)].map(([, name]) => name);
  const short = [...text.matchAll(/\bnpm (start|test|cit)\b/g)].map(([, name]) =>
    name === "cit" ? "test" : name,
  );
  expect(short.every((name) => SHORT_SCRIPTS.includes(name ?? ""))).toBe(true);
  const missing = [...run, ...short].filter((name) => !Object.hasOwn(manifest.scripts, name ?? ""));
  expect(missing).toEqual([]);
});

test.each(documents)("commands and flags that %s gives to the CLI exist", (path) => {
  const text = read(path).replace(/\\\n\s*/g, " ");
  const lines = [...text.matchAll(/\bnpm run cli -- ([^`\n]+)/g)].map(([, line]) => line ?? "");
  expect(lines.map(unknownToTheCli).filter((unknown) => unknown !== null)).toEqual([]);
});

test("README's table names every configuration value, and no other", () => {
  expect(namesInTables(section(page("README.md"), "Configuration")).sort()).toEqual(
    [...CONFIG_NAMES, ...SCRIPT_NAMES].sort(),
  );
});

describe("both languages of README say the same", () => {
  const [english, chinese] = ["README.md", "README.zh-CN.md"].map(read) as [string, string];

  test("each leads to the other", () => {
    expect(linksOf(english)).toContain("README.zh-CN.md");
    expect(linksOf(chinese)).toContain("README.md");
  });

  test.each<[string, (text: string) => unknown[]]>([
    ["headings, by their level", (text) => all(text, /^(#+) /gm)],
    ["blocks of code", (text) => all(text, /^ *```(\w*\n[\s\S]*?)^ *```$/gm)],
    ["links, in their order", (text) => linksOf(text).filter((link) => !link.startsWith("README"))],
    ["rows of tables", (text) => all(text, /^\|(?! -)(.*)$/gm).map((row) => row.split("|").length)],
    ["names and commands", (text) => [...new Set(all(text, /`([^`\n]+)`/g))].sort()],
    ["figures", (text) => all(text, /\| (\d[\d.,]*) +(?=\|)/g)],
  ])("%s", (_what, parts) => {
    const wanted = parts(english);
    expect(wanted.length).toBeGreaterThan(5);
    expect(parts(chinese)).toEqual(wanted);
  });
});

test("the storage page names every table of the Durable Objects, and no other", () => {
  const sources = filesBelow("durable-objects").map(read).join("\n");
  const made = [...sources.matchAll(/CREATE TABLE IF NOT EXISTS (\w+)/g)].map(([, name]) => name);
  expect(made).toHaveLength([...sources.matchAll(/CREATE TABLE/g)].length);
  const described = [...read("docs/storage-schema.md").matchAll(/^### `(\w+)`$/gm)].map(
    ([, name]) => name,
  );
  expect(described.sort()).toEqual(made.sort());
});

test("the storage page names every column of the Durable Objects", () => {
  const text = page("docs/storage-schema.md");
  const missing: string[] = [];
  for (const path of filesBelow("durable-objects")) {
    for (const [, table, body] of read(path).matchAll(
      /CREATE TABLE IF NOT EXISTS (\w+) \(([\s\S]*?)\n? *\)(?: WITHOUT ROWID)?;/g,
    )) {
      for (const [, column] of (body ?? "").matchAll(/(?:^|,)\s*(\w+) (?:TEXT|INTEGER)\b/gm)) {
        // `one` only keeps a table at one row.
        if (column !== "one" && !text.includes(`\`${column}\``)) missing.push(`${table}.${column}`);
      }
    }
  }
  expect(missing.filter((name) => !/^(hourly|lifetime)\./.test(name))).toEqual([]);
});

test("the storage page names every field of a key's record", async () => {
  const { stored } = await newKey({ name: "laptop" }, 0);
  const text = page("docs/storage-schema.md");
  const fields = [...Object.keys(stored.record), ...Object.keys(stored.record.limits)];
  expect(fields.filter((field) => !text.includes(`\`${field}\``))).toEqual([]);
});

test("the API page names every setting of a key and every limit", async () => {
  const { stored } = await newKey({ name: "laptop" }, 0);
  const { limits, ...settings } = shownSettings(stored.record);
  const text = page("docs/api.md");
  const named = Object.keys(settings).filter((name) => text.includes(`| \`${name}\` |`));
  expect(named).toEqual(Object.keys(settings));
  const shown = Object.keys(limits).filter((name) => text.includes(`"${name}":`));
  expect(shown).toEqual(Object.keys(limits));
});

test("the dependencies page names every package of package.json, and no other", () => {
  const known = [
    manifest.dependencies,
    manifest.devDependencies,
    manifest.optionalDependencies,
  ].flatMap((packages) => Object.keys(packages));
  const { dependencies } = JSON.parse(read("forward-proxy/package.json")) as Manifest;
  const all = new Set([...known, ...Object.keys(dependencies)]);
  expect([...new Set(namesInTables(page("docs/dependencies.md")))].sort()).toEqual([...all].sort());
});

test("the API page names every admin route, and no other", () => {
  const described = [
    ...page("docs/api.md").matchAll(/^\| `([A-Z]+) (\/admin[^`?]*)(?:\?[^`]*)?` \|/gm),
  ].map(([, method, path]) => `${method} ${path}`);
  const routes = adminRoutes();
  expect(routes.length).toBeGreaterThan(15);
  expect(described.sort()).toEqual(routes.sort());
});

test("the API page names every code of the admin API's errors, each with its status", () => {
  const table = /const STATUS = \{([\s\S]*?)\}/.exec(read("src/admin/envelope.ts"))?.[1] ?? "";
  const codes = [...table.matchAll(/(\w+): (\d{3})/g)].map(([, code, status]) => ({
    code,
    status,
  }));
  expect(codes.length).toBeGreaterThan(5);
  const used = filesBelow("src/admin").map(read).join("\n");
  const text = page("docs/api.md");
  const missing = codes.filter(
    ({ code, status }) =>
      used.includes(`"${code}"`) && !text.includes(`| \`${code}\` | ${status} |`),
  );
  expect(missing).toEqual([]);
});

test("the operations page names every event of the log", () => {
  const sources = ["src", "durable-objects"].flatMap(filesBelow).map(read).join("\n");
  // An event is the text behind its level, whatever chooses the level.
  const events = new Set(
    [...sources.matchAll(/"(?:debug|info|warn|error)",\s*"([a-z]+\.[a-z_]+)"/g)].map(
      ([, name]) => name ?? "",
    ),
  );
  expect(events.size).toBeGreaterThan(10);
  const text = page("docs/operations.md");
  expect([...events].filter((name) => !text.includes(`| \`${name}\` |`))).toEqual([]);
});

test("the incidents quote messages as the code says them", () => {
  const said = ["src", "durable-objects", "scripts"]
    .flatMap(filesBelow)
    .filter((path) => path.endsWith(".ts"))
    .map(read)
    .join("\n")
    // Of two ways to go on, the pages quote the first.
    .replace(/\$\{[^}]*\? "([^"]*)" : "[^"]*"\}/g, "$1");
  const titles = [
    ...section(read("docs/operations.md"), "Incidents").matchAll(/^### `(.+)`$/gm),
  ].map(([, title = ""]) => title);
  expect(titles.length).toBeGreaterThan(15);
  // An ellipsis, a number, a file or an address is what the message fills in.
  const unsaid = titles.filter((title) =>
    title
      .split(/…|\d+(?:\.\d+){3}|\b8787\b|^secrets\.env/)
      .some((part) => !said.includes(part.trim())),
  );
  expect(unsaid).toEqual([]);
});

test("the changelog begins with the version of package.json", () => {
  const newest = /^## (\S+) – \d{4}-\d{2}-\d{2}$/m.exec(read("CHANGELOG.md"))?.[1];
  expect(newest).toBe(manifest.version);
});

/** Paths below a folder of the project, relative to the project. */
function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

/** What a pattern's group matches in a text. */
function all(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, part]) => part ?? "");
}

/** Relative links of a page, without code in which brackets mean something else. */
function linksOf(text: string): string[] {
  const prose = text.replace(/^```[\s\S]*?^```/gm, "");
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link]) => link ?? "")
    .filter((link) => !/^[a-z]+:/.test(link));
}

function leadsSomewhere(from: string, link: string): boolean {
  const [path = "", anchor] = link.split("#", 2);
  const target = path === "" ? from : join(dirname(from), path);
  if (!existsSync(join(root, target))) return false;
  if (anchor === undefined) return true;
  return statSync(join(root, target)).isFile() && anchorsOf(read(target)).includes(anchor);
}

/** The anchors that headings get where Markdown is shown: lower case, no punctuation, hyphens. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(" ", "-"),
  );
}

/** What stands between a heading and the next one of its level. */
function section(text: string, heading: string): string {
  const [, after = ""] = text.split(`\n## ${heading}\n`, 2);
  return after.split("\n## ", 1)[0] ?? "";
}

/** The first word of a command line that the CLI would not understand; null: all are known. */
function unknownToTheCli(line: string): string | null {
  let command = makeProgram();
  const flags = new Set<string>(["--help"]);
  const learn = () => {
    for (const { long } of command.options) if (long !== undefined) flags.add(long);
  };
  learn();
  for (const word of line.split(/\s+/)) {
    if (word.startsWith("--")) {
      if (!flags.has(word)) return word;
      continue;
    }
    if (command.commands.length === 0) continue;
    const next = command.commands.find((candidate) => candidate.name() === word);
    // The value of a flag, or the ellipsis of a sentence.
    if (next === undefined) {
      if (/^[a-z-]+$/.test(word)) return word;
      continue;
    }
    command = next;
    learn();
  }
  return null;
}

/** The names in the first column of a page's tables. */
function namesInTables(text: string): string[] {
  return [...text.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name]) => name ?? "");
}

/** The route table, read from its source: the modules themselves need the Workers runtime. */
function adminRoutes(): string[] {
  const main = read("src/admin/admin-api.ts");
  const own = routesIn(main, /adminApi\s*\.(get|post|put|delete|patch)\(\s*"([^"]+)"/g, "");
  const mounted = [...main.matchAll(/adminApi\.route\("([^"]+)", (\w+)\)/g)].flatMap(
    ([, prefix = "", router = ""]) => {
      const module = new RegExp(`\\b${router}\\b.* from "\\./([^"]+)"`).exec(main)?.[1];
      const source = read(`src/admin/${module}`);
      return routesIn(
        source,
        /(?:^\s*|Hono<AdminEnv>\(\))\.(get|post|put|delete|patch)\(\s*"([^"]+)"/gm,
        prefix,
      );
    },
  );
  return [...own, ...mounted];
}

function routesIn(source: string, pattern: RegExp, prefix: string): string[] {
  return [...source.matchAll(pattern)].map(
    ([, method = "", path = ""]) =>
      `${method.toUpperCase()} ${prefix}${path === "/" && prefix !== "" ? "" : path}`,
  );
}
