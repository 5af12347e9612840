import { useMemo, useState } from "preact/hooks";
import { readModels } from "../../api/dashboard.ts";
import { OUTCOMES, type RequestFilter } from "../../api/requests.ts";
import { requestsWords } from "../../i18n/requests.ts";
import { Button } from "../../ui/button.tsx";
import { type Option, Select } from "../../ui/fields.tsx";
import { SearchField } from "../../ui/search-field.tsx";
import { useResource } from "../../ui/use-resource.ts";
import { type Names, nameIn } from "./names.ts";

const FIELDS = ["outcome", "keyId", "accountId", "model"] as const;

/** The filter that an address holds. */
export function filterIn(query: Record<string, string>): RequestFilter {
  return Object.fromEntries(FIELDS.flatMap((name) => (query[name] ? [[name, query[name]]] : [])));
}

/** … and the address that holds it: empty, or with its question mark. */
export function searchOf(filter: RequestFilter): string {
  const given = FIELDS.flatMap((name): [string, string][] =>
    filter[name] ? [[name, filter[name]]] : [],
  );
  return given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
}

export function RequestToolbar({
  filter,
  names,
  onFilter,
  onFind,
}: {
  filter: RequestFilter;
  names: Names;
  onFilter: (filter: RequestFilter) => void;
  onFind: (id: string) => void;
}) {
  const t = requestsWords();
  const [id, setId] = useState("");
  const models = useResource((signal) => readModels({ timeZone: "UTC" }, signal), []);
  const modelNames = useMemo(
    () => new Map(models.value?.models.map(({ model }) => [model, model])),
    [models.value],
  );
  const chosen = (name: (typeof FIELDS)[number]) => ({
    value: filter[name] ?? "",
    onValue: (value: string) => onFilter({ ...filter, [name]: value }),
  });
  return (
    <div class="toolbar">
      <form
        class="row find"
        onSubmit={(event) => {
          event.preventDefault();
          if (id.trim() !== "") onFind(id.trim());
        }}
      >
        <SearchField hint={t.findHint} value={id} onValue={setId} />
        <Button type="submit">{t.find}</Button>
      </form>
      <Select
        aria-label={t.outcome}
        {...chosen("outcome")}
        options={[
          { value: "", label: t.anyOutcome },
          ...OUTCOMES.map((value) => ({ value, label: t.outcomes[value] })),
        ]}
      />
      <Select
        aria-label={t.key}
        {...chosen("keyId")}
        options={optionsOf(names.keys, filter.keyId, t.anyKey)}
      />
      <Select
        aria-label={t.account}
        {...chosen("accountId")}
        options={optionsOf(names.accounts, filter.accountId, t.anyAccount)}
      />
      <Select
        aria-label={t.model}
        {...chosen("model")}
        options={optionsOf(modelNames, filter.model, t.anyModel)}
      />
    </div>
  );
}

/** All that are known, and the chosen one even where it is not. */
function optionsOf(
  names: ReadonlyMap<string, string>,
  chosen: string | null | undefined,
  any: string,
): Option[] {
  const known = [...names].map(([value, label]) => ({ value, label }));
  known.sort((a, b) => a.label.localeCompare(b.label));
  const isMissing = chosen && !names.has(chosen);
  return [
    { value: "", label: any },
    ...(isMissing ? [{ value: chosen, label: nameIn(names, chosen) }] : []),
    ...known,
  ];
}
