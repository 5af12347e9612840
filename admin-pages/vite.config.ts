import { join } from "node:path";
import { defineConfig } from "vite";

const root = import.meta.dirname;

/**
 * Builds the panel into `dist/panel`, which is the root of an assets folder: everything is below
 * `/web/`, on the Worker as on Pages. Its policy allows nothing inline, so nothing is inlined.
 */
export default defineConfig({
  root,
  base: "/web/",
  publicDir: false,
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: join(root, "../dist/panel/web"),
    emptyOutDir: true,
    assetsInlineLimit: 0,
    // One stylesheet for all screens.
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    // What `light-dark()`, <dialog> and popovers need.
    target: ["chrome125", "edge125", "firefox125", "safari17.5"],
    reportCompressedSize: false,
  },
});
