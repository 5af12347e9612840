import { usageFailure } from "./failure.ts";

const TYPES = ["socks5", "http", "https"] as const;
const DEFAULT_PORTS = { socks5: 1080, http: 80, https: 443 } as const;

/** The admin API's shape of a proxy. */
export interface AccountProxy {
  type: (typeof TYPES)[number];
  host: string;
  port: number;
  username?: string;
  password?: string;
  via?: string;
}

/**
 * Reads a proxy's address. Errors never quote it: it may hold a password.
 *
 * @param via the forward proxy that is to dial it; any where it is not given
 */
export function readProxy(text: string, via?: string): AccountProxy {
  const scheme = /^([a-z0-9]+):\/\//i.exec(text)?.[1]?.toLowerCase().replace("socks5h", "socks5");
  const type = TYPES.find((known) => known === scheme);
  // A scheme that URL knows: it parses ports and brackets of others less strictly.
  const asHttp = text.replace(/^[a-z0-9]+:/i, "http:");
  if (type === undefined || !URL.canParse(asHttp)) throw wrongProxy();
  const { hostname, port, username, password, pathname, search, hash } = new URL(asHttp);
  if (hostname === "" || pathname !== "/" || search !== "" || hash !== "") throw wrongProxy();
  // URL leaves out the port that is usual for http.
  const isPort80 = port === "" && /:0*80\/?$/.test(asHttp);
  return {
    type,
    host: hostname,
    port: port === "" ? (isPort80 ? 80 : DEFAULT_PORTS[type]) : Number(port),
    ...(username === "" ? {} : { username: decoded(username) }),
    ...(password === "" ? {} : { password: decoded(password) }),
    ...(via === undefined ? {} : { via }),
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw wrongProxy();
  }
}

function wrongProxy() {
  return usageFailure(
    "The proxy must be an address such as socks5://user:password@host:1080 (or http://, https://).\nCharacters like @ : / in the password are written as %40 %3A %2F.",
  );
}

/** The forward proxy is named together with the proxy that it dials: both are stored as one. */
export function refuseLoneVia(flags: {
  proxyStdin?: boolean | undefined;
  via?: string | undefined;
}) {
  if (flags.via !== undefined && !flags.proxyStdin) {
    throw usageFailure("--via needs --proxy-stdin: give the account's proxy with it.");
  }
}
