import { setTimeout as sleep } from "node:timers/promises";
import { ADMIN, type TestRelay } from "../fixtures/relay.ts";
import { SECRET } from "./worker/trouble.js";

interface Answer {
  success?: boolean;
  error?: string;
  message?: string;
  data?: Record<string, unknown>;
}

const PAUSE_MS = 20;
const SETTLE_TRIES = 100;
const RETRY_MS = 100;
/** It is there to tell an admin what went wrong inside. */
const LOG = "/logs";
/** Read in turns, so that every kind of object is asked. */
const LOOKS = [
  "/api-keys",
  "/claude-accounts",
  "/dashboard",
  "/usage-costs",
  "/requests",
  LOG,
  "/audit",
  "/alerts",
  "/session",
];

/** An admin who looks and changes, one thing after the other, and remembers what it was told. */
export class AdminLoad {
  done = 0;
  refused = 0;
  /** What an honest API does not say, and what was told and did not hold. */
  readonly problems: string[] = [];
  readonly #relay: TestRelay;
  readonly #running: Promise<void>;
  /** Keys by what was last told of them: whether they work. Those of a change that failed are left out. */
  readonly #keys = new Map<string, { apiKey: string; works: boolean }>();
  readonly #accounts = new Map<string, boolean>();
  #token = "";
  #isStopped = false;

  constructor(relay: TestRelay) {
    this.#relay = relay;
    this.#running = this.#act();
  }

  /** Ends it, and looks whether everything is as it was told. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
    for (const [id, { apiKey, works }] of this.#keys) {
      if (!(await isSoon(async () => (await this.#isKeyGood(apiKey)) === works))) {
        this.problems.push(`key ${id} was ${works ? "made" : "deleted"}, and the relay denies it`);
      }
    }
    const areListed = async () => {
      const { data } = await this.#ask("GET", "/claude-accounts");
      const ids = new Set(((data?.accounts ?? []) as { id: string }[]).map(({ id }) => id));
      return [...this.#accounts].every(([id, isThere]) => ids.has(id) === isThere);
    };
    if (!(await isSoon(areListed))) {
      this.problems.push("an account was made or deleted, and the list does not show it");
    }
    for (const [id, isThere] of this.#accounts) {
      if (isThere) await this.#ask("DELETE", `/claude-accounts/${id}`);
    }
    const { data } = await this.#ask("GET", "/alerts");
    for (const { id } of (data?.webhooks ?? []) as { id: string }[]) {
      await this.#ask("DELETE", `/alerts/${id}`);
    }
  }

  async #act(): Promise<void> {
    for (let nth = 0; !this.#isStopped; nth += 1) {
      while (this.#token === "" && !this.#isStopped) await this.#signIn();
      if (nth % LOOKS.length === 0) await this.#signIn();
      await this.#ask("GET", LOOKS[nth % LOOKS.length] ?? "");
      await this.#changeKeys(nth);
      if (nth % 3 === 0) await this.#changeAccounts(nth);
      if (nth % 3 === 1) await this.#changeWebhooks();
      await sleep(PAUSE_MS);
    }
  }

  async #signIn(): Promise<void> {
    const { data } = await this.#ask("POST", "/login", ADMIN);
    if (typeof data?.token === "string") this.#token = data.token;
  }

  async #changeKeys(nth: number): Promise<void> {
    const made = await this.#ask("POST", "/api-keys", { name: `made under load ${nth}` });
    if (made.data === undefined) return;
    const { id, apiKey } = made.data as { id: string; apiKey: string };
    this.#keys.set(id, { apiKey, works: true });
    if (nth % 2 === 0) return;
    const deleted = await this.#ask("DELETE", `/api-keys/${id}`);
    // Whoever is told that it may have been done or not is told nothing of the key.
    if (deleted.data === undefined) this.#keys.delete(id);
    else this.#keys.set(id, { apiKey, works: false });
  }

  async #changeAccounts(nth: number): Promise<void> {
    const name = `made-under-load-${nth}-${crypto.randomUUID().slice(0, 8)}`;
    const { apiKey } = this.#relay.fake.accounts.addApiKey({ name });
    const made = await this.#ask("POST", "/claude-accounts", { name, apiKey });
    if (made.data === undefined) return;
    const id = String(made.data.id);
    this.#accounts.set(id, true);
    if (nth % 2 === 0) return;
    const deleted = await this.#ask("DELETE", `/claude-accounts/${id}`);
    if (deleted.data === undefined) this.#accounts.delete(id);
    else this.#accounts.set(id, false);
  }

  async #changeWebhooks(): Promise<void> {
    const webhook = {
      name: crypto.randomUUID(),
      format: "json",
      address: "https://hooks.example.com/relay",
    };
    const made = await this.#ask("POST", "/alerts", { ...webhook, enabled: false });
    if (made.data !== undefined) await this.#ask("DELETE", `/alerts/${made.data.id}`);
  }

  /** By what a key is told of itself: nothing is sent upstream for it. */
  async #isKeyGood(apiKey: string): Promise<boolean> {
    const answer = await fetch(`${this.#relay.url}/v1/key-info`, {
      headers: { "x-api-key": apiKey },
    });
    await answer.arrayBuffer();
    return answer.status === 200;
  }

  async #ask(method: string, path: string, body?: unknown): Promise<Answer> {
    let status = 0;
    let text = "";
    try {
      const answer = await fetch(`${this.#relay.url}/admin${path}`, {
        method,
        headers: { "content-type": "application/json", authorization: `Bearer ${this.#token}` },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      status = answer.status;
      text = await answer.text();
      const parsed = JSON.parse(text) as Answer;
      const problem = problemOf(status, parsed, path === LOG ? "" : text);
      if (problem !== null) throw new Error(problem);
      if (parsed.success === true) this.done += 1;
      else this.refused += 1;
      return parsed;
    } catch (error) {
      this.problems.push(`${method} ${path}: ${status} ${String(error)} ${text.slice(0, 300)}`);
      return {};
    }
  }
}

/** What is not honest about an answer of the admin API under faults; null: nothing. */
function problemOf(status: number, answer: Answer, text: string): string | null {
  if (text.includes(SECRET)) return "told a secret";
  if (answer.success === true) return status < 300 && answer.data !== undefined ? null : "no data";
  // The code for what nobody has thought of.
  if (answer.error === "internal") return "not explained";
  const isTold = typeof answer.error === "string" && (answer.message ?? "") !== "";
  return status >= 500 && isTold ? null : "no honest refusal";
}

/** Whether something is so, or comes to be so within a while. */
async function isSoon(look: () => Promise<boolean>): Promise<boolean> {
  for (let tries = 0; tries < SETTLE_TRIES; tries += 1) {
    if (await look()) return true;
    await sleep(RETRY_MS);
  }
  return false;
}
