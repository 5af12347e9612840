import { mkdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { browserPath } from "../test/browser/harness/browser-path.ts";
import { CHINESE_FONTS_HINT, hasChineseFonts } from "../test/browser/harness/chinese-fonts.ts";
import { pathOf, SCREENS, type ScreenUnderTest, settled } from "../test/browser/harness/screens.ts";
import { type Furniture, furnish, untilListed } from "../test/browser/harness/seed.ts";
import {
  DEVICES,
  type Device,
  LANGUAGES,
  type Language,
  Stage,
  THEMES,
} from "../test/browser/harness/stage.ts";
import type { TestRelay } from "../test/fixtures/relay.ts";
import { projectDir } from "./host/project.ts";
import { runMain, Stop } from "./host/stop.ts";

const IMAGES_DIR = join(projectDir, "docs/images");
const PICTURED = SCREENS.filter(({ isPictured = true }) => isPictured);
const BYTES_PER_KB = 1000;
/** The panel has few colours: a palette makes its pictures a third as large, and none looks different. */
const PALETTE = { palette: true, colours: 48, dither: 0, effort: 10 } as const;
/** A phone's pixels are small; on a page its picture is shown small, too. */
const SCALE: Record<Device, number> = { desktop: 1, phone: 1.5 };

const HELP = `npm run screenshots [-- --only <screen> …]

Takes a picture of every screen of the panel, in both themes, on a desktop and on a phone, of a relay
that a team has used for a month, or of a new one. They go to docs/images.

  --only <screen>       this screen alone; may be given more than once. There are:
                        ${PICTURED.map(({ name }) => name).join(", ")}
  --language <${Object.keys(LANGUAGES).join("|")}>   default en; other languages are part of the file's name
  --help                this text`;

interface Wish {
  screens: ScreenUnderTest[];
  language: Language;
}

async function main(): Promise<number> {
  const wish = readFlags();
  if (wish === null) {
    console.log(HELP);
    return 0;
  }
  if (!(await hasChineseFonts())) {
    if (wish.language === "zh") throw new Stop(CHINESE_FONTS_HINT);
    console.log(`${CHINESE_FONTS_HINT} Where a screen names the language, there will be boxes.`);
  }
  mkdirSync(IMAGES_DIR, { recursive: true });
  const used = wish.screens.filter(({ isPicturedEmpty = false }) => !isPicturedEmpty);
  const empty = wish.screens.filter(({ isPicturedEmpty = false }) => isPicturedEmpty);
  await pictures(used, furnishAndList, wish.language);
  await pictures(empty, async () => null, wish.language);
  return 0;
}

/** The picture of one request is of one that is listed. */
async function furnishAndList(relay: TestRelay): Promise<Furniture> {
  const furniture = await furnish(relay);
  await untilListed(relay, furniture.requestId);
  return furniture;
}

/** @param prepare gives the relay what it is to have */
async function pictures(
  screens: ScreenUnderTest[],
  prepare: (relay: TestRelay) => Promise<Furniture | null>,
  language: Language,
): Promise<void> {
  if (screens.length === 0) return;
  const stage = await Stage.start({ browserPath: await browserPath() });
  try {
    const furniture = await prepare(stage.relay);
    for (const screen of screens) await picture(stage, screen, furniture, language);
  } finally {
    await stage.stop();
  }
}

function readFlags(): Wish | null {
  let values: { only?: string[]; language?: string; help?: boolean };
  try {
    ({ values } = parseArgs({
      options: {
        only: { type: "string", multiple: true },
        language: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    }));
  } catch (error) {
    throw new Stop(`${error instanceof Error ? error.message : error}\n\n${HELP}`);
  }
  const { only, language = "en", help } = values;
  if (help) return null;
  const unknown = only?.filter((name) => !PICTURED.some((screen) => screen.name === name)) ?? [];
  if (unknown.length > 0) throw new Stop(`There is no screen "${unknown[0]}".\n\n${HELP}`);
  if (!isLanguage(language)) throw new Stop(`There is no language "${language}".\n\n${HELP}`);
  return { screens: PICTURED.filter(({ name }) => only?.includes(name) ?? true), language };
}

function isLanguage(text: string): text is Language {
  return Object.hasOwn(LANGUAGES, text);
}

async function picture(
  stage: Stage,
  screen: ScreenUnderTest,
  furniture: Furniture | null,
  language: Language,
): Promise<void> {
  for (const theme of THEMES) {
    for (const device of Object.keys(DEVICES) as Device[]) {
      const { page } = await stage.visit({
        path: pathOf(screen, furniture),
        signedIn: screen.signedIn ?? true,
        language,
        theme,
        device,
        deviceScaleFactor: SCALE[device],
      });
      await settled(page);
      if (furniture !== null) await screen.arrange?.(page, furniture);
      const suffix = language === "en" ? "" : `-${language}`;
      const path = join(IMAGES_DIR, `${screen.name}-${theme}-${device}${suffix}.png`);
      const picture = await sharp(await page.screenshot())
        .png(PALETTE)
        .toBuffer();
      writeFileSync(path, picture);
      const problems = await stage.endVisits();
      if (problems.length > 0) throw new Stop(`${screen.name}: ${problems.join("\n")}`);
      const kB = Math.round(picture.length / BYTES_PER_KB);
      console.log(`${relative(projectDir, path)}, ${kB} kB`);
    }
  }
}

await runMain(main);
