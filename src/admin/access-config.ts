import type { ConfigName, ConfigProblem } from "../config.ts";

/** What an admin may do: everything, or look at everything and change nothing. */
export type Role = "admin" | "viewer";

/** The header that Cloudflare Access adds to what it lets through. */
export const ACCESS_HEADER = "cf-access-jwt-assertion";

export interface AccessConfig {
  /** The origin of the team's domain: issuer of the tokens, and where their keys are. */
  issuer: string;
  /** The application's audience tag. */
  audience: string;
  /** Who has which role: see {@link matches}. Whoever is in both is an admin. */
  admins: string[];
  viewers: string[];
}

/** Of a token that was verified. */
export interface AccessIdentity {
  email: string | null;
  groups: string[];
}

const LOOPBACK = ["127.0.0.1", "[::1]", "localhost"];
/** `*`, an e-mail address, `@` and its domain, or `group:` and the name of a group. */
const MEMBER = /^(?:\*|[^\s@]*@[^\s@]+|group:.+)$/;

/** Reads the four names of Cloudflare Access. Without a team domain it is not used. */
export function readAccessConfig(text: (name: ConfigName) => string): {
  value: AccessConfig | null;
  problems: ConfigProblem[];
} {
  const domain = text("ACCESS_TEAM_DOMAIN");
  const problems: ConfigProblem[] = [];
  const admins = members(text("ACCESS_ADMINS"));
  const viewers = members(text("ACCESS_VIEWERS"));
  if (domain === "") return { value: null, problems };
  const issuer = originOf(domain);
  if (issuer === null) {
    problems.push({
      name: "ACCESS_TEAM_DOMAIN",
      message:
        "ACCESS_TEAM_DOMAIN must be your team's domain, such as your-team.cloudflareaccess.com, or empty.",
    });
  }
  const audience = text("ACCESS_AUDIENCE");
  if (audience === "") {
    problems.push({
      name: "ACCESS_AUDIENCE",
      message:
        "ACCESS_AUDIENCE is missing: copy the Application Audience (AUD) tag of the Access application.",
    });
  }
  for (const [name, list] of [
    ["ACCESS_ADMINS", admins],
    ["ACCESS_VIEWERS", viewers],
  ] as const) {
    if (list.every((member) => MEMBER.test(member))) continue;
    problems.push({
      name,
      message: `${name} must be e-mail addresses, @domains or group:names, separated by commas, or *.`,
    });
  }
  if (admins.length + viewers.length === 0) {
    problems.push({
      name: "ACCESS_ADMINS",
      message: "ACCESS_ADMINS and ACCESS_VIEWERS are both empty: nobody could sign in over Access.",
    });
  }
  return {
    value: issuer === null ? null : { issuer, audience, admins, viewers },
    problems,
  };
}

/** The role of someone whom Access let in, or null where neither list has them. */
export function roleOf({ admins, viewers }: AccessConfig, who: AccessIdentity): Role | null {
  if (admins.some((member) => matches(member, who))) return "admin";
  return viewers.some((member) => matches(member, who)) ? "viewer" : null;
}

function matches(member: string, { email, groups }: AccessIdentity): boolean {
  if (member === "*") return true;
  if (member.startsWith("group:")) return groups.includes(member.slice("group:".length));
  const address = email?.toLowerCase() ?? "";
  const wanted = member.toLowerCase();
  return wanted.startsWith("@")
    ? address.slice(address.lastIndexOf("@")) === wanted && address.includes("@")
    : address === wanted;
}

function members(list: string): string[] {
  return list
    .split(",")
    .map((member) => member.trim())
    .filter((member) => member !== "");
}

function originOf(domain: string): string | null {
  const url = URL.parse(domain.includes("://") ? domain : `https://${domain}`);
  if (url === null || (url.pathname !== "/" && url.pathname !== "")) return null;
  const isSafe =
    url.protocol === "https:" || (url.protocol === "http:" && LOOPBACK.includes(url.hostname));
  return isSafe ? url.origin : null;
}
