import type { ConfigName, ConfigProblem } from "../config.ts";

/** What someone who is signed in may do: everything, or look. */
export type Role = "admin" | "viewer";

/** How Cloudflare Access stands in front of the admin API. */
export interface AccessConfig {
  /** Who signs the tokens, and where the keys to check them are. */
  teamOrigin: string;
  /** The AUD tags of the applications that lead here. */
  audiences: string[];
  /** By e-mail address, and by `@domain` for everyone else there. Who is in neither has no role. */
  roles: ReadonlyMap<string, Role>;
}

/** As Cloudflare makes them: SHA-256 in hex. An application's id looks different, and is none. */
const AUD_TAG = /^[0-9a-f]{64}$/;
/** One person, or all of a domain. */
const PERSON_OR_DOMAIN = /^[^@\s]*@[^@\s]+$/;

/**
 * Reads the settings for Cloudflare Access.
 *
 * @param isSafeOrigin tells an origin over which keys may come from one where anybody could change them
 * @returns null where Access is not in use; what is wrong is added to `problems`
 */
export function readAccessConfig(
  text: (name: ConfigName) => string,
  isSafeOrigin: (origin: string) => boolean,
  problems: ConfigProblem[],
): AccessConfig | null {
  const team = text("ACCESS_TEAM_DOMAIN").replace(/\/+$/, "");
  const audiences = listOf(text("ACCESS_AUDIENCE"));
  const admins = listOf(text("ACCESS_ADMINS")).map(foldedAddress);
  const viewers = listOf(text("ACCESS_VIEWERS")).map(foldedAddress);
  const refuse = (name: ConfigName, message: string) => {
    problems.push({ name, message });
  };
  if (team === "") {
    if (audiences.length + admins.length + viewers.length > 0) {
      const message =
        "ACCESS_TEAM_DOMAIN is missing, and another ACCESS_ setting is there: give it too, such as example.cloudflareaccess.com, or empty the others.";
      refuse("ACCESS_TEAM_DOMAIN", message);
    }
    return null;
  }
  const teamOrigin = team.includes("://") ? team : `https://${team}`;
  if (!isSafeOrigin(teamOrigin)) {
    const message =
      "ACCESS_TEAM_DOMAIN must be the team domain of Cloudflare Access, such as example.cloudflareaccess.com, without a path.";
    refuse("ACCESS_TEAM_DOMAIN", message);
  }
  if (audiences.length === 0 || !audiences.every((tag) => AUD_TAG.test(tag))) {
    const message =
      "ACCESS_AUDIENCE must be the Application Audience (AUD) tag of the Access application: 64 characters of hex, or several with commas.";
    refuse("ACCESS_AUDIENCE", message);
  }
  for (const [name, list] of [
    ["ACCESS_ADMINS", admins],
    ["ACCESS_VIEWERS", viewers],
  ] as const) {
    if (!list.every((entry) => PERSON_OR_DOMAIN.test(entry))) {
      const message = `${name} must hold e-mail addresses, or @example.com for everyone of a domain, separated by commas.`;
      refuse(name, message);
    }
  }
  if (admins.length + viewers.length === 0) {
    const message =
      "ACCESS_ADMINS and ACCESS_VIEWERS are both empty: nobody could sign in with Cloudflare Access. Name somebody, or empty ACCESS_TEAM_DOMAIN.";
    refuse("ACCESS_ADMINS", message);
  }
  if (viewers.some((entry) => admins.includes(entry))) {
    const message =
      "ACCESS_VIEWERS names someone whom ACCESS_ADMINS names too: leave each in one of them.";
    refuse("ACCESS_VIEWERS", message);
  }
  const roles = new Map<string, Role>([
    ...viewers.map((entry) => [entry, "viewer"] as const),
    ...admins.map((entry) => [entry, "admin"] as const),
  ]);
  return { teamOrigin, audiences, roles };
}

/** The role of a person: by the whole address first, else by all that stands behind its first @. */
export function roleOf({ roles }: AccessConfig, email: string): Role | null {
  const address = foldedAddress(email);
  const domain = address.slice(address.indexOf("@"));
  return roles.get(address) ?? roles.get(domain) ?? null;
}

/**
 * Capitals do not count. Those of ASCII only: Unicode has others that fall on its letters, such as the
 * Kelvin sign on k, and another person's address must not become somebody's.
 */
function foldedAddress(email: string): string {
  return email.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

function listOf(text: string): string[] {
  return text
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
}
