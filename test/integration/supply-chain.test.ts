import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const read = <T>(path: string) => JSON.parse(readFileSync(join(root, path), "utf8")) as T;

type Versions = Record<string, string>;

interface Manifest {
  workspaces?: string[];
  scripts?: Versions;
  dependencies?: Versions;
  devDependencies?: Versions;
  optionalDependencies?: Versions;
  peerDependencies?: Versions;
  overrides?: object;
  allowScripts?: Record<string, boolean>;
}

/** An entry of the lockfile. */
interface Locked extends Manifest {
  version?: string;
  resolved?: string;
  integrity?: string;
  link?: boolean;
  hasInstallScript?: boolean;
}

const KINDS = ["dependencies", "devDependencies", "optionalDependencies"] as const;
/** A version and nothing around it: no range, no tag, no address. */
const EXACT = /^\d+\.\d+\.\d+(?:-[\w.-]+)?$/;
/** Scripts that npm runs by itself when a package is installed. */
const RUN_BY_ITSELF = ["preinstall", "install", "postinstall", "prepare", "dependencies"];

const manifest = read<Manifest>("package.json");
const { packages } = read<{ packages: Record<string, Locked> }>("package-lock.json");
const locked = Object.entries(packages);
/** Each package.json of the project, with its folder, as the lockfile names it. */
const manifests = ["", ...(manifest.workspaces ?? []), "admin-pages"].map(
  (folder) => [folder, read<Manifest>(join(folder, "package.json"))] as const,
);
const versionsOf = (from: Manifest): [string, string][] =>
  KINDS.flatMap((kind) => Object.entries(from[kind] ?? {}));

describe.each(manifests)("package.json of %j", (folder, own) => {
  test("pins each dependency to one version, and runs nothing when it is installed", () => {
    expect(versionsOf(own).filter(([, version]) => !EXACT.test(version))).toEqual([]);
    expect(own.peerDependencies ?? {}).toEqual({});
    expect(own.overrides ?? {}).toEqual({});
    const names = Object.keys(own.scripts ?? {});
    expect(names.filter((name) => RUN_BY_ITSELF.includes(name))).toEqual([]);
  });

  test("says what the lockfile says, which holds just those versions", () => {
    // The panel's packages are those of the project: it has none, and no place in the lockfile.
    const there = packages[folder] ?? {};
    for (const kind of KINDS) expect(there[kind] ?? {}, kind).toEqual(own[kind] ?? {});
    for (const [name, version] of versionsOf(own)) {
      const nested = packages[`${folder}/node_modules/${name}`];
      expect((nested ?? packages[`node_modules/${name}`])?.version, name).toBe(version);
    }
  });
});

test("every package of the lockfile is checked by its hash, and none comes from elsewhere than a registry", () => {
  const members = ["", ...(manifest.workspaces ?? [])];
  const fetched = locked.filter(([path, { link }]) => !members.includes(path) && link !== true);
  expect(fetched.length).toBeGreaterThan(200);
  for (const [path, { integrity, resolved, version }] of fetched) {
    expect(integrity, path).toMatch(/^sha512-/);
    expect(version, path).toMatch(EXACT);
    // An archive, and neither a repository nor a folder.
    expect(resolved ?? "https://x/y.tgz", path).toMatch(/^https:\/\/[^?#]+\.tgz$/);
  }
});

test("those and no others have an install script whom package.json allows one, with a reason", () => {
  const scripted = locked.filter(([, { hasInstallScript }]) => hasInstallScript);
  const names = scripted.map(([path]) => path.split("node_modules/").at(-1) ?? "");
  const allowed = Object.entries(manifest.allowScripts ?? {});
  expect(allowed.every(([, is]) => is)).toBe(true);
  expect([...new Set(names)].sort()).toEqual(allowed.map(([name]) => name).sort());
  const page = readFileSync(join(root, "docs/dependencies.md"), "utf8");
  const [, section = ""] = page.split("\n## Install scripts\n");
  for (const name of names) expect(section).toContain(`\`${name}\``);
});

test("what runs in the Worker brings along nothing that is not listed, but for its own parts", () => {
  const reached = new Set<string>();
  const walk = (name: string) => {
    if (reached.has(name)) return;
    reached.add(name);
    const { dependencies = {}, optionalDependencies = {} } = packages[`node_modules/${name}`] ?? {};
    for (const next of Object.keys({ ...dependencies, ...optionalDependencies })) walk(next);
  };
  const direct = Object.keys(manifest.dependencies ?? {});
  for (const name of direct) walk(name);
  expect([...reached].filter((name) => !direct.includes(name))).toEqual(["uncrypto"]);
});

test("no file beside the lockfile changes what is installed, and no registry is written down", () => {
  const others = [".npmrc", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock"];
  const folders = manifests.map(([folder]) => folder);
  const there = folders.flatMap((folder) => others.map((name) => join(folder, name)));
  expect(there.filter((path) => existsSync(join(root, path)))).toEqual([]);
});
