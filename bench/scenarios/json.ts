import { JSON_ANSWER_BYTES } from "../upstream/answers.ts";
import { answeredLoad } from "./answered-load.ts";
import { smallRequest } from "./requests.ts";
import type { Scenario } from "./scenario.ts";

export default {
  name: "json",
  title: "2 KB asked, 2 KB of JSON answered",
  order: 1,
  run: (bench) =>
    answeredLoad(bench, {
      answer: "json",
      body: smallRequest(false),
      answerBytes: JSON_ANSWER_BYTES,
      budgets: { requestsPerS: 0.4, cpu: 2.5, added: 2 },
    }),
} satisfies Scenario;
