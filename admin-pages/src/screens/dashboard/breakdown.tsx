import { useState } from "preact/hooks";
import type { UsageFilter, Use } from "../../api/usage.ts";
import { compact, count, dollars } from "../../format/numbers.ts";
import { dashboardWords } from "../../i18n/dashboard.ts";
import { BarList } from "../../ui/bar-list.tsx";
import { Select } from "../../ui/fields.tsx";
import { Card } from "../../ui/page.tsx";
import { Empty, FailureNotice, Loading } from "../../ui/states.tsx";
import type { Resource } from "../../ui/use-resource.ts";
import type { Chosen } from "./usage-scope.ts";

const MEASURES = ["cost", "requests", "allTokens"] as const;
type Measure = (typeof MEASURES)[number];

export type Share = Pick<Use, Measure> & {
  /** Null: cannot be asked for alone. */
  id: string | null;
  name: string;
};

/** Who or what used how much: bars under each other, by cost, requests or tokens. */
export function Breakdown({
  title,
  by,
  source: { failure, reload },
  shares,
  onChoose,
}: {
  title: string;
  by: keyof UsageFilter;
  source: Pick<Resource<unknown>, "failure" | "reload">;
  shares: readonly Share[] | undefined;
  onChoose: (one: Chosen) => void;
}) {
  const t = dashboardWords();
  const [measure, setMeasure] = useState<Measure>("cost");
  const labels = { cost: t.cost, requests: t.requests, allTokens: t.tokens };
  const inWords = {
    cost: ({ cost }: Share) => dollars(cost),
    requests: ({ requests }: Share) => count(requests),
    allTokens: ({ allTokens }: Share) => compact(allTokens),
  }[measure];
  return (
    <Card
      title={title}
      actions={
        <Select
          aria-label={t.measureOf(title)}
          value={measure}
          options={MEASURES.map((value) => ({ value, label: labels[value] }))}
          onValue={setMeasure}
        />
      }
    >
      {failure !== null && <FailureNotice failure={failure} onRetry={() => void reload()} />}
      {shares === undefined ? (
        failure === null && <Loading />
      ) : shares.length === 0 ? (
        <Empty icon="requests" title={t.noUse}>
          <p>{t.noUseHint}</p>
        </Empty>
      ) : (
        <BarList
          bars={shares
            .toSorted((a, b) => b[measure] - a[measure])
            .map((share) => ({
              id: share.id ?? share.name,
              value: share[measure],
              shown: inWords(share),
              label:
                share.id === null ? (
                  share.name
                ) : (
                  <button
                    type="button"
                    class="link"
                    title={t.only(share.name)}
                    onClick={() => onChoose({ by, value: share.id ?? "", name: share.name })}
                  >
                    {share.name}
                  </button>
                ),
            }))}
        />
      )}
    </Card>
  );
}
