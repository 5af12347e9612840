import { JSON_ANSWER_BYTES } from "../upstream/answers.ts";
import { answeredLoad } from "./answered-load.ts";
import { longRequest } from "./requests.ts";
import type { Scenario } from "./scenario.ts";

export default {
  name: "long",
  title: "400 KB asked as by a Claude Code, 2 KB of JSON answered",
  order: 2,
  run: (bench) =>
    answeredLoad(bench, {
      answer: "json",
      body: longRequest(),
      answerBytes: JSON_ANSWER_BYTES,
      budgets: { requestsPerS: 0.6, cpu: 1.6, added: 1.7 },
    }),
} satisfies Scenario;
