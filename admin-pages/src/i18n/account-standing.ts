import { dictionary } from "./dictionary.ts";

/** Whether an account can serve, in a word or two. */
export const accountStanding = dictionary(
  {
    standings: {
      ready: "ready",
      disabled: "switched off",
      expired: "expired",
      trouble: "needs attention",
      no_egress: "no way out",
      cooling_down: "resting",
      other_encryption_key: "cannot be read",
      not_allowed: "not for this key",
      not_schedulable: "takes no new work",
      on_trial: "on trial",
    },
  },
  {
    standings: {
      ready: "就绪",
      disabled: "已停用",
      expired: "已到期",
      trouble: "需要处理",
      no_egress: "无出口",
      cooling_down: "冷却中",
      other_encryption_key: "无法读取",
      not_allowed: "此密钥不可用",
      not_schedulable: "不接新任务",
      on_trial: "试用中",
    },
  },
);
