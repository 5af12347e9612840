import { randomUUID } from "node:crypto";
import { type KeyPolicy, policyOf } from "../../src/keys/key-record.ts";
import { newKey } from "../../src/keys/new-key.ts";
import { NOTHING_BILLED, type Settlement } from "../../src/relay/settlement.ts";
import { newRequestId } from "../../src/request-id.ts";
import { LIMITS } from "../host/population.ts";

const MODELS = ["claude-sonnet-5", "claude-opus-5"];
const DURATION_MS = 2_000;
const FIRST_BYTE_MS = 600;
const COST_NANO = 25_000_000;
const INPUT_TOKENS = 1_200;
const OUTPUT_TOKENS = 350;
const CACHE_READ_TOKENS = 40_000;
const SESSIONS = 32;

/** A request that was let in, as its settlement needs it. */
interface Open {
  requestId: string;
  session: string | null;
  model: string;
}

/** What Workers ask of one key's meter: each call lets some requests in, and settles those before. */
export class MeterLoad {
  readonly policy: KeyPolicy;
  /** How many were let in so far. */
  requests = 0;
  readonly #accountId = randomUUID();
  readonly #sessions = Array.from({ length: SESSIONS }, () => randomUUID());
  #open: Open[] = [];

  constructor(policy: KeyPolicy) {
    this.policy = policy;
  }

  static async make(): Promise<MeterLoad> {
    const { stored } = await newKey({ name: "one key", limits: LIMITS }, Date.now());
    return new MeterLoad(policyOf(stored.record));
  }

  next(requests: number): { settlements: Settlement[]; admissions: Open[] } {
    const settlements = this.#open.map((admission) => this.#settlement(admission));
    this.requests += requests;
    this.#open = Array.from({ length: requests }, (_, index) => ({
      policy: this.policy,
      mark: this.policy.secret.mark,
      model: MODELS[index % MODELS.length] ?? "",
      requestId: newRequestId(Date.now()),
      previousMessageId: null,
      session: this.#sessions[index % SESSIONS] ?? null,
      accountId: this.#accountId,
    }));
    return { settlements, admissions: this.#open };
  }

  #settlement({ requestId, session, model }: Open): Settlement {
    return {
      requestId,
      outcome: "completed",
      status: 200,
      accountId: this.#accountId,
      chosenBy: "pin",
      attempts: [
        { accountId: this.#accountId, status: 200, verdict: "served", durationMs: FIRST_BYTE_MS },
      ],
      session,
      pinnedTo: this.#accountId,
      firstByteMs: FIRST_BYTE_MS,
      durationMs: DURATION_MS,
      bill: {
        ...NOTHING_BILLED,
        tokens: {
          ...NOTHING_BILLED.tokens,
          inputTokens: INPUT_TOKENS,
          outputTokens: OUTPUT_TOKENS,
          cacheReadTokens: CACHE_READ_TOKENS,
        },
        model,
        costNanoDollars: COST_NANO,
        priceId: `${model}@2026-01-01`,
      },
      isWatched: false,
    };
  }
}

/** What meters tell a ledger: a batch of each key in turn, of requests that have just ended. */
export class LedgerLoad {
  readonly #keys: { id: string; seq: number; accountId: string }[];
  #turn = 0;
  /** How many were made so far. */
  facts = 0;

  constructor(keys: number, accounts: number) {
    const accountIds = Array.from({ length: accounts }, () => randomUUID());
    this.#keys = Array.from({ length: keys }, (_, index) => ({
      id: randomUUID(),
      seq: 0,
      accountId: accountIds[index % accounts] ?? "",
    }));
  }

  next(facts: number): object {
    const key = this.#keys[this.#turn % this.#keys.length];
    if (key === undefined) throw new Error("there are no keys");
    this.#turn += 1;
    this.facts += facts;
    return {
      keyId: key.id,
      facts: Array.from({ length: facts }, (_, index) => {
        key.seq += 1;
        const nowMs = Date.now();
        const model = MODELS[index % MODELS.length] ?? "";
        return {
          seq: key.seq,
          corrects: false,
          request: {
            id: newRequestId(nowMs),
            startedAtMs: nowMs,
            state: "settled",
            model,
            answeredModel: model,
            outcome: "completed",
            status: 200,
            accountId: key.accountId,
            chosenBy: "pin",
            attempts: [
              {
                accountId: key.accountId,
                status: 200,
                verdict: "served",
                durationMs: FIRST_BYTE_MS,
              },
            ],
            firstByteMs: FIRST_BYTE_MS,
            durationMs: DURATION_MS,
            tokens: {
              input: INPUT_TOKENS,
              output: OUTPUT_TOKENS,
              cacheWrite5m: 0,
              cacheWrite1h: 0,
              cacheRead: CACHE_READ_TOKENS,
            },
            webSearches: 0,
            serviceTier: null,
            speed: null,
            inferenceGeo: null,
            estimated: false,
            costNanoDollars: COST_NANO,
            priceId: `${model}@2026-01-01`,
            priceKnown: true,
          },
        };
      }),
    };
  }
}
