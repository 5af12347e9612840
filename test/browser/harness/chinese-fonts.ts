import { execFile } from "node:child_process";
import { installPackage } from "../../fixtures/debian-program.ts";

const PACKAGE = "fonts-noto-cjk";

/**
 * Whether a page can show Chinese: systems on servers often have no font for it. As root on Debian it
 * is installed where it is missing. Pages work without; only their pictures have boxes for characters.
 */
export async function hasChineseFonts(): Promise<boolean> {
  // Elsewhere than on Linux the system comes with one.
  if (process.platform !== "linux" || (await isThere())) return true;
  await installPackage(PACKAGE);
  return isThere();
}

export const CHINESE_FONTS_HINT = `No font for Chinese is installed (Debian, Ubuntu: apt-get install ${PACKAGE}).`;

function isThere(): Promise<boolean> {
  return new Promise((settle) => {
    execFile("fc-list", [":lang=zh-cn", "family"], (error, stdout) => {
      settle(error === null && stdout.trim() !== "");
    });
  });
}
