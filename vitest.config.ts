import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { testBindings } from "./test/worker-bindings.ts";

/** Unit and Durable Object tests: inside workerd, with the classes and vars of wrangler.toml. */
export default defineConfig({
  plugins: [
    cloudflareTest({
      wrangler: { configPath: "./wrangler.toml" },
      miniflare: { bindings: testBindings },
    }),
  ],
  test: { include: ["test/unit/**/*.test.ts", "test/objects/**/*.test.ts"] },
});
