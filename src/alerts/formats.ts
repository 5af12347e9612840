import type { AlertFormat, AlertMessage } from "./alert.ts";
import { dingtalkSign, feishuSign, signedHeaders } from "./signature.ts";

/** Discord refuses longer texts; Slack cuts at 40,000, Feishu and DingTalk take 20 KB. */
const DISCORD_MAX_CHARS = 2_000;
const CHAT_MAX_CHARS = 4_000;

/** What is posted to a webhook. */
export interface WebhookPost {
  url: string;
  headers: Record<string, string>;
  body: string;
}

/** Which formats prove by a secret who sent a message, and whether they have to. */
export const SECRET_OF: Record<AlertFormat, "always" | "optional" | "none"> = {
  json: "always",
  slack: "none",
  discord: "none",
  feishu: "optional",
  dingtalk: "optional",
};

/** Gives a message a receiver's shape, signed for a try that is made now. */
export async function shapeOf(
  format: AlertFormat,
  address: string,
  secret: string | null,
  message: AlertMessage,
  nowMs: number,
): Promise<WebhookPost> {
  const headers = { "content-type": "application/json; charset=utf-8" };
  const post = (body: object, url = address): WebhookPost => ({
    url,
    headers,
    body: JSON.stringify(body),
  });
  switch (format) {
    case "json": {
      const body = JSON.stringify(genericBody(message));
      const signed = secret === null ? {} : await signedHeaders(secret, message.id, body, nowMs);
      return { url: address, headers: { ...headers, ...signed }, body };
    }
    case "slack":
      return post({ text: slackText(textOf(message, CHAT_MAX_CHARS)) });
    case "discord":
      // Whatever a name holds, it calls nobody.
      return post({ content: textOf(message, DISCORD_MAX_CHARS), allowed_mentions: { parse: [] } });
    case "feishu": {
      const sign = secret === null ? {} : await feishuSign(secret, nowMs);
      // Feishu reads <at …> in a text as a call.
      const text = textOf(message, CHAT_MAX_CHARS).replaceAll("<", "‹");
      return post({ ...sign, msg_type: "text", content: { text } });
    }
    case "dingtalk": {
      const url = new URL(address);
      if (secret !== null) {
        const { timestamp, sign } = await dingtalkSign(secret, nowMs);
        url.searchParams.set("timestamp", timestamp);
        url.searchParams.set("sign", sign);
      }
      const content = textOf(message, CHAT_MAX_CHARS);
      const body = { msgtype: "text", text: { content }, at: { isAtAll: false } };
      return post(body, url.href);
    }
  }
}

/**
 * Why a receiver that answered 200 has not taken a message; null: it has. Feishu and DingTalk say so in
 * the body.
 */
export function refusalIn(format: AlertFormat, body: string): string | null {
  if (format !== "feishu" && format !== "dingtalk") return null;
  let answer: Record<string, unknown>;
  try {
    answer = Object(JSON.parse(body)) as Record<string, unknown>;
  } catch {
    return "it answered 200 with something else than JSON: is this the address of a bot?";
  }
  const code = format === "feishu" ? (answer.code ?? answer.StatusCode) : answer.errcode;
  if (code === 0) return null;
  return typeof code === "number"
    ? `it refused the message with its code ${code}; look the code up in its documentation (often a wrong sign, keyword or network)`
    : "it answered 200 without a code: is this the address of a bot?";
}

/** A message as text: what happened, since when, what to do. */
export function textOf({ title, lines, advice, url }: AlertMessage, maxChars: number): string {
  const end = [advice === "" ? null : `Next: ${advice}`, url].filter((line) => line !== null);
  const tail = end.length === 0 ? "" : `\n${end.join("\n")}`;
  const head = [title, ...lines].join("\n");
  const room = maxChars - tail.length;
  return (head.length <= room ? head : `${head.slice(0, room - 2)}\n…`) + tail;
}

function genericBody({ id, kind, state, atMs, title, lines, advice, url, ...rest }: AlertMessage) {
  const { about, summary } = rest;
  return {
    id,
    type: kind,
    state,
    at: new Date(atMs).toISOString(),
    title,
    text: lines.join("\n"),
    advice,
    url,
    about,
    ...(summary === null ? {} : { summary }),
  };
}

/** The three characters that mean something to Slack. */
function slackText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
