import { CATEGORIES, LEVELS, type Level, type LogFilter } from "../../api/logs.ts";
import { logsWords } from "../../i18n/logs.ts";
import { BASE } from "../../screens.ts";
import { Select } from "../../ui/fields.tsx";
import { Icon } from "../../ui/icon.tsx";
import { SearchField } from "../../ui/search-field.tsx";

const REQUEST_ID = /^rly_\w+$/;

/** The filter that an address holds. What is no level or category is left out. */
export function filterIn(query: Record<string, string>): LogFilter {
  const { level, category, requestId } = query;
  const knownLevel = LEVELS.find((one) => one === level);
  const knownCategory = CATEGORIES.find((one) => one === category);
  return {
    ...(knownLevel === undefined ? {} : { level: knownLevel }),
    ...(knownCategory === undefined ? {} : { category: knownCategory }),
    ...(requestId ? { requestId } : {}),
  };
}

export function searchOf(filter: LogFilter): string {
  const given = Object.entries(filter).flatMap(([name, value]): [string, string][] =>
    value ? [[name, value]] : [],
  );
  return given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
}

export function LogToolbar({
  filter,
  text,
  onFilter,
  onText,
}: {
  filter: LogFilter;
  text: string;
  onFilter: (filter: LogFilter) => void;
  onText: (text: string) => void;
}) {
  const t = logsWords();
  const { requestId } = filter;
  return (
    <div class="toolbar">
      <SearchField
        hint={t.searchHint}
        value={text}
        onValue={(value) => {
          const isId = REQUEST_ID.test(value.trim());
          onText(isId ? "" : value);
          if (isId) onFilter({ requestId: value.trim() });
        }}
      />
      <Select
        aria-label={t.level}
        value={filter.level ?? "debug"}
        options={LEVELS.map((value) => ({ value, label: t.levels[value] }))}
        onValue={(level: Level) => onFilter({ ...filter, level })}
      />
      <Select
        aria-label={t.category}
        value={filter.category ?? ""}
        options={[
          { value: "", label: t.anyCategory },
          ...CATEGORIES.map((value) => ({ value, label: t.categories[value] })),
        ]}
        onValue={(value) => {
          const category = CATEGORIES.find((one) => one === value) ?? null;
          onFilter({ ...filter, category });
        }}
      />
      {requestId && (
        <div class="row">
          <button
            type="button"
            class="button small mono"
            aria-label={t.everyRequest}
            title={t.everyRequest}
            onClick={() => onFilter({ ...filter, requestId: null })}
          >
            {t.onlyRequest(requestId)}
            <Icon name="close" />
          </button>
          <a href={`${BASE}/requests/${encodeURIComponent(requestId)}`}>{t.toRequest}</a>
        </div>
      )}
    </div>
  );
}
