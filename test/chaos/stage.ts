import type { Fault, FaultMatch } from "../fixtures/fake-upstream/index.ts";
import { type RelayKey, TestRelay } from "../fixtures/relay.ts";
import { NUMBER_HEADER } from "./load.ts";

const ACCOUNTS = 4;
const KEYS = 4;
const MAX_LEDGER_ENTRIES = 200_000;

export interface StageParts {
  relay: TestRelay;
  keys: RelayKey[];
}

export interface StageOptions {
  relay?: Parameters<typeof TestRelay.start>[0];
  /** Fields of every account and of every key that differ from the defaults. */
  account?: Record<string, unknown>;
  key?: Record<string, unknown>;
}

/** Starts a relay, and adds accounts and keys to it. */
export async function setUp({ relay: given, account, key }: StageOptions): Promise<StageParts> {
  const relay = await TestRelay.start({
    ...given,
    fake: {
      maxLedgerEntries: MAX_LEDGER_ENTRIES,
      ...given?.fake,
      toleratedHeaders: ["cf-worker", NUMBER_HEADER],
    },
  });
  for (let nth = 0; nth < ACCOUNTS; nth += 1) {
    await relay.addApiKeyAccount(`account-${nth}`, account);
  }
  const keys = await Promise.all(Array.from({ length: KEYS }, () => relay.createKey(key)));
  return { relay, keys };
}

/** A relay with accounts and keys, and what can be done to it. */
export class Stage {
  readonly relay: TestRelay;
  readonly keys: RelayKey[];
  #up: Promise<void> = Promise.resolve();

  constructor({ relay, keys }: StageParts) {
    this.relay = relay;
    this.keys = keys;
  }

  static async open(): Promise<Stage> {
    return new Stage(await setUp({}));
  }

  /** Resolves while the runtime is up. */
  readonly isUp = (): Promise<void> => this.#up;

  /**
   * Ends the runtime as a power cut would, and starts it again on the same state.
   *
   * @param meanwhile what to do with the state while nothing runs on it
   */
  async kill(meanwhile = () => {}): Promise<void> {
    let up = () => {};
    this.#up = new Promise((resolve) => {
      up = resolve;
    });
    await this.relay.restart({ how: "kill", meanwhile });
    up();
  }

  /** Every message is answered so, for as long. */
  everyMessage(fault: Fault, forMs: number, match: FaultMatch = {}): void {
    this.relay.fake.script(
      { path: "/v1/messages", times: "always", untilMs: Date.now() + forMs, ...match },
      fault,
    );
  }

  close(): Promise<void> {
    return this.relay.stop();
  }
}
