import { ADMIN, type RelayKey, TestRelay } from "../fixtures/relay.ts";
import { must } from "./target.ts";

const JWT_SECRET = "fuzz-jwt-secret-0123456789abcdef";
const ENCRYPTION_KEY = "fuzz-encryption-key-0123456789ab";
/** As many things that fuzzing itself has made are played with further. */
const MAX_IDS = 40;
/** What the runtime says of frames that are none, before they reach the Worker. */
const RUNTIMES_OWN =
  /^Uncaught exception: kj\/compat\/http\.c\+\+:\d+: failed: remote\.jsg\.Error: WebSocket /;
/** Whoever waits longer has been hung up on. */
const WITHIN_MS = 20_000;

/** A relay with one account and one key that no input may touch, and others that any may. */
export class Stage {
  readonly relay: TestRelay;
  readonly key: RelayKey;
  /** Ids of keys, accounts and webhooks that inputs may read, change and delete. */
  readonly ids: string[] = [];
  readonly token: string;
  readonly #secrets: readonly string[];
  #readChars = 0;

  private constructor(relay: TestRelay, key: RelayKey, token: string, upstreamKey: string) {
    this.relay = relay;
    this.key = key;
    this.token = token;
    this.#secrets = [JWT_SECRET, ENCRYPTION_KEY, ADMIN.password, token, upstreamKey];
  }

  static async open(): Promise<Stage> {
    const relay = await TestRelay.start({
      vars: { JWT_SECRET, ENCRYPTION_KEY, LOG_LEVEL: "debug" },
    });
    const { apiKey } = relay.fake.accounts.addApiKey({ name: "kept" });
    const kept = { name: "kept", apiKey };
    const account = await relay.admin<{ id: string }>("POST", "/claude-accounts", kept);
    const key = await relay.createKey({ name: "kept", accountId: account.data.id });
    const signedIn = await fetch(`${relay.url}/admin/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(ADMIN),
    });
    const { data } = (await signedIn.json()) as { data: { token: string } };
    const stage = new Stage(relay, key, data.token, apiKey);
    stage.ids.push((await relay.createKey()).id, await relay.addApiKeyAccount("played with"));
    return stage;
  }

  note(id: unknown): void {
    if (typeof id === "string" && this.ids.length < MAX_IDS) this.ids.push(id);
  }

  /** None of the relay's secrets is in what a client got. */
  mustHoldNoSecret(answered: string): void {
    const found = this.#secrets.findIndex((secret) => answered.includes(secret));
    must(found < 0, `the answer holds secret ${found}`);
  }

  /** The relay answers as if nothing had happened, and its log has no line that an input wrote. */
  async mustBeWell(): Promise<void> {
    const signal = AbortSignal.timeout(WITHIN_MS);
    const health = await fetch(`${this.relay.url}/health`, { signal });
    must(health.status === 200, `/health answers ${health.status}: ${await health.text()}`);
    const message = await this.relay.message(this.key, {}, { signal });
    const answer = await message.text();
    must(message.status === 200, `a plain message is answered ${message.status}: ${answer}`);
    // Were a name on every object, it would stand in for the one that is missing here.
    const nameless = await this.relay.admin("POST", "/api-keys", {});
    must(nameless.status === 400, `a key without a name is answered ${nameless.status}`);
    this.#mustHaveACleanLog();
  }

  #mustHaveACleanLog(): void {
    const fresh = this.relay.log.slice(this.#readChars);
    this.#readChars += fresh.length;
    for (const line of fresh.split("\n").filter((each) => each !== "")) {
      const shown = JSON.stringify(line).slice(0, 600);
      must(!/\p{Cc}/u.test(line), `a log line holds a control character: ${shown}`);
      if (RUNTIMES_OWN.test(line)) continue;
      must(isEvent(line), `a log line is none of the relay's: ${shown}`);
      this.mustHoldNoSecret(line);
      must(!line.includes(this.key.apiKey), `a log line holds a relay key: ${shown}`);
      must(!/"event":"(?:injected|admin\.failed|request\.failed)"/.test(line), `logged: ${shown}`);
    }
  }

  close(): Promise<void> {
    return this.relay.stop();
  }
}

function isEvent(line: string): boolean {
  try {
    const { time, level, event } = JSON.parse(line) as Record<string, unknown>;
    return [time, level, event].every((part) => typeof part === "string");
  } catch {
    return false;
  }
}
