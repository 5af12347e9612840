import type { AccountProxy } from "../../api/accounts.ts";

/** A proxy as it stands in the form. */
export interface ProxyDraft {
  isUsed: boolean;
  type: AccountProxy["type"];
  host: string;
  port: string;
  username: string;
  password: string;
  via: string;
}

export function proxyDraftOf(proxy: AccountProxy | null): ProxyDraft {
  return {
    isUsed: proxy !== null,
    type: proxy?.type ?? "socks5",
    host: proxy?.host ?? "",
    port: proxy === null ? "" : String(proxy.port),
    username: proxy?.username ?? "",
    // It never comes back from the relay.
    password: "",
    via: proxy?.via ?? "",
  };
}

export function isPort(text: string): boolean {
  const port = Number(text);
  return text.trim() !== "" && Number.isInteger(port) && port >= 1 && port <= 65_535;
}

export function isProxyGood({ isUsed, host, port }: ProxyDraft): boolean {
  return !isUsed || (host.trim() !== "" && isPort(port));
}

/** The proxy as the relay takes it; null for none. Call it on a draft that is good. */
export function proxyOf(draft: ProxyDraft): AccountProxy | null {
  if (!draft.isUsed) return null;
  const { type, host, port, username, password, via } = draft;
  return {
    type,
    host: host.trim(),
    port: Number(port),
    ...(username === "" ? {} : { username }),
    ...(password === "" ? {} : { password }),
    ...(via === "" ? {} : { via }),
  };
}
