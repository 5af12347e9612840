import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { FaultCode, ProxyTarget } from "./contract.ts";
import type { Legs } from "./dial/dial.ts";

const DIAL_BUCKETS_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const FIRST_BYTE_BUCKETS_S = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 110];

/** What Prometheus is told. Labels come from fixed sets: no address, no account, no secret. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<"result">;
  readonly #inFlight: Gauge;
  readonly #broken: Counter<"side">;
  readonly #dials: Counter<"type" | "result">;
  readonly #legs: Histogram<"leg">;
  readonly #firstByte: Histogram;

  constructor(figures: { pools: () => number; sockets: () => number }) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    this.#requests = new Counter({
      name: "forward_proxy_requests_total",
      help: "Requests by what was answered: upstream, a code of an own answer, or client_gone.",
      labelNames: ["result"],
      registers,
    });
    this.#inFlight = new Gauge({
      name: "forward_proxy_requests_in_flight",
      help: "Requests that are being carried now.",
      registers,
    });
    this.#broken = new Counter({
      name: "forward_proxy_answers_broken_total",
      help: "Answers that ended before their end, by the side that broke off.",
      labelNames: ["side"],
      registers,
    });
    this.#dials = new Counter({
      name: "forward_proxy_dials_total",
      help: "Connections that were opened, by the proxy's type and the result.",
      labelNames: ["type", "result"],
      registers,
    });
    this.#legs = new Histogram({
      name: "forward_proxy_dial_seconds",
      help: "How long each leg of a dial took.",
      labelNames: ["leg"],
      buckets: DIAL_BUCKETS_S,
      registers,
    });
    this.#firstByte = new Histogram({
      name: "forward_proxy_first_byte_seconds",
      help: "From a request's arrival to upstream's headers.",
      buckets: FIRST_BYTE_BUCKETS_S,
      registers,
    });
    for (const [name, help, figure] of [
      ["forward_proxy_pools", "Pools of connections, one per proxy and upstream.", figures.pools],
      ["forward_proxy_sockets", "Connections to proxies that are open.", figures.sockets],
    ] as const) {
      const gauge: Gauge = new Gauge({ name, help, registers, collect: () => gauge.set(figure()) });
    }
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  began(): void {
    this.#inFlight.inc();
  }

  ended(): void {
    this.#inFlight.dec();
  }

  answered(result: FaultCode | "upstream" | "client_gone"): void {
    this.#requests.inc({ result });
  }

  firstByte(afterMs: number): void {
    this.#firstByte.observe(afterMs / 1_000);
  }

  broken(side: "upstream" | "client"): void {
    this.#broken.inc({ side });
  }

  dialled(type: ProxyTarget["type"], result: FaultCode | "open", legs: Legs): void {
    this.#dials.inc({ type, result });
    for (const [leg, tookMs] of Object.entries(legs)) this.#legs.observe({ leg }, tookMs / 1_000);
  }
}
