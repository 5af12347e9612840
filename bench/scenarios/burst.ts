import { answeredLoad } from "./answered-load.ts";
import { smallRequest } from "./requests.ts";
import type { Scenario } from "./scenario.ts";

export default {
  name: "burst",
  title: "2 KB asked, a stream of 200 events in one write answered",
  order: 3,
  run: (bench) =>
    answeredLoad(bench, {
      answer: "burst",
      body: smallRequest(true),
      answerBytes: null,
      budgets: { requestsPerS: 0.55, cpu: 1.9, added: 2 },
    }),
} satisfies Scenario;
