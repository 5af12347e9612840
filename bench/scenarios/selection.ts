import { randomUUID } from "node:crypto";
import { type ChoiceInput, choose } from "../../src/accounts/choose.ts";
import { AccountLoad } from "../../src/accounts/load.ts";
import { Pool } from "../../src/accounts/pool.ts";
import { roster } from "../objects/roster.ts";
import type { Budget, Scenario } from "./scenario.ts";

const ACCOUNTS = 1_000;
const ROUNDS = 5;
const CHOICES_A_ROUND = 10_000;
const MICROS_A_MS = 1_000;
const LIMIT_MICROS = 1_000;

/** The choice of an account alone, without a runtime around it: what it takes with many of them. */
export default {
  name: "selection",
  title: `an account chosen among ${ACCOUNTS}, in this process`,
  order: 9,
  async run() {
    const pool = new Pool(roster(ACCOUNTS), { canReachProxies: false, nearLimit: 0.9 });
    const fresh = (index: number) => ({ session: `session-${index}`, pinnedTo: null });
    const pinnedTo = pool.rows[ACCOUNTS / 2]?.id ?? null;
    return {
      loads: [],
      budgets: [
        budget("choice for a new session", pool, fresh),
        budget("choice without a session", pool, () => ({ session: null, pinnedTo: null })),
        budget("choice for a session that is on an account", pool, () => ({
          session: "session",
          pinnedTo,
        })),
      ],
    };
  },
} satisfies Scenario;

function budget(
  what: string,
  pool: Pool,
  subject: (index: number) => Pick<ChoiceInput, "session" | "pinnedTo">,
): Budget {
  const load = new AccountLoad();
  const keyId = randomUUID();
  const micros = Array.from({ length: ROUNDS }, () => {
    const beganAt = process.cpuUsage();
    for (let index = 0; index < CHOICES_A_ROUND; index += 1) {
      const choice = choose({
        pool,
        load,
        family: "sonnet",
        keyId,
        ...subject(index),
        onlyAccountId: null,
        boundTo: null,
        exclude: new Set(),
        nowMs: Date.now(),
      });
      if (!choice.ok) throw new Error("no account was chosen");
      load.enter(choice.row, Date.now()).leave();
    }
    const { user, system } = process.cpuUsage(beganAt);
    return (user + system) / CHOICES_A_ROUND;
  }).sort((a, b) => a - b);
  const figure = micros[Math.floor(ROUNDS / 2)] ?? null;
  const range = (micros.at(-1) ?? 0) - (micros[0] ?? 0);
  return {
    what: `CPU for a ${what}`,
    is: "at most",
    limit: LIMIT_MICROS,
    figure,
    unit: ` µs (${LIMIT_MICROS / MICROS_A_MS} ms)`,
    spread: figure === null || figure === 0 ? null : range / 2 / figure,
  };
}
