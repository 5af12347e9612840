import { dictionary } from "./dictionary.ts";

export const signInWords = dictionary(
  {
    title: "Sign in",
    lead: "The panel of this relay, for whoever runs it.",
    ended: "Your session has ended. Sign in again, and you are back where you were.",
    username: "User name",
    password: "Password",
    submit: "Sign in",
    submitting: "Signing in …",
    wrong: "Wrong user name or password.",
    throttled: (span: string) =>
      `Too many wrong passwords came from your address. You can try again in ${span}.`,
    throttledOver: "You can try again now.",
    help: "The password was shown once when the relay was set up. Lost? On its machine: npm run setup -- --reset-admin-password",
    checking: "Asking the relay …",
    unreachable: "The relay does not answer",
  },
  {
    title: "登录",
    lead: "此中继的管理面板，供其管理员使用。",
    ended: "会话已结束。重新登录后将回到刚才的位置。",
    username: "用户名",
    password: "密码",
    submit: "登录",
    submitting: "正在登录…",
    wrong: "用户名或密码错误。",
    throttled: (span) => `来自您地址的错误密码次数过多，请在${span}后重试。`,
    throttledOver: "现在可以重试了。",
    help: "密码在安装中继时仅显示过一次。忘记了？在其所在机器上运行：npm run setup -- --reset-admin-password",
    checking: "正在询问中继…",
    unreachable: "中继没有响应",
  },
);
