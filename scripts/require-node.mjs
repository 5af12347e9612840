// Loaded with `node --import` before any script: the scripts are TypeScript, which older versions
// of Node.js refuse with an error that helps nobody.
const OLDEST = [22, 18];

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
  const bundled =
    process.platform === "linux" && (process.arch === "x64" || process.arch === "arm64");
  console.error(`This needs Node.js ${OLDEST.join(".")} or newer; this is ${process.version}.`);
  console.error(
    bundled
      ? "Run `npm ci` first: it brings a Node.js of its own, which `npm run` then uses."
      : "Install Node.js 24, or 22.18 and newer, and run the command again.",
  );
  process.exit(1);
}
