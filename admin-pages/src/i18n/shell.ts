import { dictionary } from "./dictionary.ts";

export const shellWords = dictionary(
  {
    brand: "Claude relay",
    skip: "Skip to the content",
    navigation: "Main navigation",
    menu: "Menu",
    language: "Language",
    theme: "Appearance",
    themes: { system: "System", light: "Light", dark: "Dark" },
    signedInAs: (name: string) => `Signed in as ${name}`,
    signOut: "Sign out",
    signedOut: "Signed out.",
    nav: {
      start: "First steps",
      keys: "Keys",
      accounts: "Accounts",
    },
  },
  {
    brand: "Claude 中继",
    skip: "跳到正文",
    navigation: "主导航",
    menu: "菜单",
    language: "语言",
    theme: "外观",
    themes: { system: "跟随系统", light: "浅色", dark: "深色" },
    signedInAs: (name) => `当前用户：${name}`,
    signOut: "退出登录",
    signedOut: "已退出登录。",
    nav: {
      start: "开始使用",
      keys: "密钥",
      accounts: "账户",
    },
  },
);
