import type { Failure } from "../api/client.ts";
import { dictionary } from "./dictionary.ts";
import { language } from "./language.ts";

/** What a failed call means, by its code; the relay's own words say more, in English. */
export const errorWords = dictionary(
  {
    title: "That did not work",
    unknown: "The relay answered with an error that this page does not know.",
    reasons: {
      bad_request: "The relay did not accept what was entered.",
      login_failed: "Wrong user name or password.",
      not_signed_in: "Your session has ended. Sign in again.",
      forbidden_origin:
        "The relay refused this because it came from another address than its own. Open the panel at the relay's own address.",
      no_role:
        "Cloudflare Access knows you, and this relay gives you no role. Ask whoever runs it to name you.",
      read_only: "You may look here and change nothing. Ask whoever runs this relay for more.",
      not_found: "This is not there any more. It may have been deleted meanwhile.",
      conflict: "Someone else changed this just now, or its state does not allow it.",
      login_ended: "This login link has ended. Make a new one.",
      body_too_large: "That is more than the relay takes at once.",
      login_throttled: "Too many wrong passwords from your address.",
      upstream_failed: "Anthropic did not answer, or refused.",
      internal: "The relay met a fault of its own. Its log has the details.",
      key_unknown: "The relay does not know this key. Look whether all of it was pasted.",
      key_out_of_use: "This key is switched off, revoked or expired. Ask whoever gave it to you.",
      keys_throttled: "Too many wrong keys came from your network. Wait a moment, then try again.",
      unavailable: "A part of the relay does not answer right now. Try again in a moment.",
      not_configured: "The relay is not configured.",
      unreachable: "The relay cannot be reached. Check the network, and whether the relay runs.",
      not_understood:
        "The answer did not come from the relay. Something in between may have answered in its place.",
    },
  },
  {
    title: "操作未成功",
    unknown: "中继返回了此页面不认识的错误。",
    reasons: {
      bad_request: "中继未接受所填内容。",
      login_failed: "用户名或密码错误。",
      not_signed_in: "会话已结束，请重新登录。",
      forbidden_origin: "请求来自其他地址，被中继拒绝。请在中继自己的地址打开此面板。",
      no_role: "Cloudflare Access 认识您，但此中继未授予您任何角色。请联系其管理员。",
      read_only: "您只能查看，不能更改。如需更多权限，请联系此中继的管理员。",
      not_found: "该内容已不存在，可能刚刚被删除。",
      conflict: "其他人刚刚修改过，或当前状态不允许此操作。",
      login_ended: "此登录链接已失效，请重新生成。",
      body_too_large: "内容超过中继一次可接收的大小。",
      login_throttled: "来自您地址的错误密码次数过多。",
      upstream_failed: "Anthropic 没有响应，或拒绝了请求。",
      internal: "中继发生内部故障，详情见其日志。",
      key_unknown: "中继不认识此密钥，请检查是否粘贴完整。",
      key_out_of_use: "此密钥已停用、吊销或到期，请询问发放者。",
      keys_throttled: "来自您网络的错误密钥次数过多，请稍后重试。",
      unavailable: "中继的某个部分暂时没有响应，请稍后重试。",
      not_configured: "中继尚未配置。",
      unreachable: "无法连接中继。请检查网络，并确认中继正在运行。",
      not_understood: "该响应并非来自中继，可能是中间的某个环节代为应答。",
    },
  },
);

/** What happened, in the chosen language; and the relay's own words where they say more. */
export function failureWords(failure: Failure): { summary: string; detail: string } {
  const { reasons, unknown } = errorWords();
  const summary = (reasons as Record<string, string>)[failure.code] ?? unknown;
  // The relay speaks English, and says it better than the general sentence does.
  if (language.value === "en" && failure.message !== "") {
    return { summary: failure.message, detail: "" };
  }
  return { summary, detail: failure.message };
}
