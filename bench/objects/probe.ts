import { join } from "node:path";
import { MICROS_PER_MS, MS_PER_S, machineMicros } from "../clock.ts";
import { WORKERS_DIR } from "../host/floor.ts";
import type { RelayHost, RelayWrapper } from "../host/relay.ts";
import { cpuMicros } from "../measure/process-figures.ts";
import { median } from "../measure/statistics.ts";

const PROBE_SOCKET = "probe";
const MODULE = "probe.js";
const MICROS_PER_S = MICROS_PER_MS * MS_PER_S;

/** Goes around a relay whose objects are to be called. */
export const PROBED: RelayWrapper = {
  modules: [{ name: MODULE, path: join(WORKERS_DIR, MODULE) }],
  sockets: { [PROBE_SOCKET]: "Probe" },
};

/** One call of a Durable Object's method. */
export interface ObjectCall {
  binding: "KEY_METER" | "FLEET" | "USAGE_LEDGER";
  name: string;
  method: string;
  args: unknown[];
}

export interface CallRate {
  callsPerS: number;
  /** Of the whole process: the call's two ends and the object. */
  cpuMicrosPerCall: number;
}

/** Calls a relay's objects, without the relay. */
export class Probe {
  readonly #url: string;
  readonly #pid: number;

  constructor({ workerd }: RelayHost) {
    this.#url = `http://127.0.0.1:${workerd.ports.get(PROBE_SOCKET)}`;
    this.#pid = workerd.pid;
  }

  call<T>(call: ObjectCall): Promise<T> {
    return this.#post<T>("/call", call);
  }

  /** How many calls a relay's Worker made to meters so far, and how many admissions were in them. */
  exchanged(): Promise<{ calls: number; admissions: number }> {
    return this.#post("/exchanged", null);
  }

  /**
   * Makes calls as fast as they go, in rounds of which the median counts.
   *
   * @param atOnce so many are on their way at any time
   * @param callsOf those of a round
   */
  async rate(
    rounds: number,
    atOnce: number,
    callsOf: (round: number) => ObjectCall[],
  ): Promise<CallRate> {
    const rates: CallRate[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const calls = callsOf(round);
      await this.#post("/prepare", calls);
      const cpuBefore = cpuMicros(this.#pid);
      const begunAt = machineMicros();
      await this.#post(`/run?atOnce=${atOnce}`, null);
      const tookMicros = machineMicros() - begunAt;
      rates.push({
        callsPerS: (calls.length / tookMicros) * MICROS_PER_S,
        cpuMicrosPerCall: (cpuMicros(this.#pid) - cpuBefore) / calls.length,
      });
    }
    return {
      callsPerS: median(rates.map(({ callsPerS }) => callsPerS)),
      cpuMicrosPerCall: median(rates.map(({ cpuMicrosPerCall }) => cpuMicrosPerCall)),
    };
  }

  async #post<T>(path: string, body: unknown): Promise<T> {
    const answer = await fetch(this.#url + path, { method: "POST", body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`the probe's ${path} answered ${answer.status}`);
    return (await answer.json()) as T;
  }
}
