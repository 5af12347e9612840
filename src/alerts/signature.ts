/** How a generic webhook is signed, after the Standard Webhooks specification. */
const SECRET_PREFIX = "whsec_";
/** What the specification asks for: 24 to 64 bytes. */
const SECRET_BYTES = 32;
const SECRET_LEAST_BYTES = 24;
const SECRET_MOST_BYTES = 64;
const SECOND_MS = 1_000;

const encoder = new TextEncoder();

export function newSigningSecret(): string {
  return SECRET_PREFIX + base64(crypto.getRandomValues(new Uint8Array(SECRET_BYTES)));
}

/** Whether a text is a secret that a receiver's library can verify with. */
export function isSigningSecret(text: string): boolean {
  const bytes = secretBytes(text);
  return bytes !== null && bytes.length >= SECRET_LEAST_BYTES && bytes.length <= SECRET_MOST_BYTES;
}

/**
 * The headers that prove a message: HMAC-SHA-256 over `<id>.<unix seconds>.<body>`. The time is that of
 * this try, so that an old one cannot be sent again; the id is that of the message, so that it can be
 * told when it comes twice.
 */
export async function signedHeaders(
  secret: string,
  id: string,
  body: string,
  nowMs: number,
): Promise<Record<string, string>> {
  const timestamp = String(Math.floor(nowMs / SECOND_MS));
  const key = secretBytes(secret);
  if (key === null) throw new Error("a webhook's secret has lost its shape");
  const signature = await hmacBase64(key, `${id}.${timestamp}.${body}`);
  return {
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    "webhook-signature": `v1,${signature}`,
  };
}

/** Feishu's sign: the time and the secret are the key, and nothing is signed with it. */
export async function feishuSign(secret: string, nowMs: number) {
  const timestamp = String(Math.floor(nowMs / SECOND_MS));
  return { timestamp, sign: await hmacBase64(encoder.encode(`${timestamp}\n${secret}`), "") };
}

/** DingTalk's sign: milliseconds, and the secret is the key as well as a part of what is signed. */
export async function dingtalkSign(secret: string, nowMs: number) {
  const timestamp = String(nowMs);
  return { timestamp, sign: await hmacBase64(encoder.encode(secret), `${timestamp}\n${secret}`) };
}

async function hmacBase64(key: BufferSource, text: string): Promise<string> {
  const imported = await crypto.subtle.importKey(
    "raw",
    key,
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  return base64(new Uint8Array(await crypto.subtle.sign("HMAC", imported, encoder.encode(text))));
}

function secretBytes(text: string) {
  if (!/^whsec_[A-Za-z0-9+/]+={0,2}$/.test(text)) return null;
  try {
    return Uint8Array.from(atob(text.slice(SECRET_PREFIX.length)), (char) => char.charCodeAt(0));
  } catch {
    return null;
  }
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}
