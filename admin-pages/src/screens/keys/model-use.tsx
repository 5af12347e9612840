import type { Use } from "../../api/usage.ts";
import { compact, count, dollars } from "../../format/numbers.ts";
import { keysWords } from "../../i18n/keys.ts";
import { DataTable } from "../../ui/data-table.tsx";
import { Card } from "../../ui/page.tsx";
import { Empty } from "../../ui/states.tsx";

/** What was used of each model. */
export function ModelUse({ models }: { models: readonly (Use & { model: string })[] }) {
  const t = keysWords();
  return (
    <Card title={t.byModel} isFlush>
      <DataTable
        caption={t.byModel}
        rows={[...models].sort((a, b) => b.cost - a.cost)}
        keyOf={({ model }) => model}
        empty={<Empty icon="dashboard" title={t.noUsage} />}
        columns={[
          { id: "model", head: t.model, isMain: true, cell: ({ model }) => model },
          {
            id: "requests",
            head: t.measures.requests,
            isNumber: true,
            cell: ({ requests }) => count(requests),
          },
          {
            id: "input",
            head: t.input,
            isNumber: true,
            cell: ({ inputTokens }) => compact(inputTokens),
          },
          {
            id: "output",
            head: t.output,
            isNumber: true,
            cell: ({ outputTokens }) => compact(outputTokens),
          },
          {
            id: "cache",
            head: t.cacheRead,
            isNumber: true,
            isExtra: true,
            cell: ({ cacheReadTokens }) => compact(cacheReadTokens),
          },
          { id: "cost", head: t.cost, isNumber: true, cell: ({ cost }) => dollars(cost) },
        ]}
      />
    </Card>
  );
}
