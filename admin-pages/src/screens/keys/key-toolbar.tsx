import { useMemo } from "preact/hooks";
import type { RelayKey } from "../../api/keys.ts";
import { keysWords } from "../../i18n/keys.ts";
import { Select } from "../../ui/fields.tsx";
import { SearchField } from "../../ui/search-field.tsx";
import type { KeyFilter, StatusFilter } from "./filter-keys.ts";

/** Search and filters over all keys. */
export function KeyToolbar({
  filter,
  keys,
  onFilter,
}: {
  filter: KeyFilter;
  keys: readonly RelayKey[];
  onFilter: (filter: KeyFilter) => void;
}) {
  const t = keysWords();
  const tags = useMemo(() => [...new Set(keys.flatMap((key) => key.tags))].sort(), [keys]);
  const states: { value: StatusFilter; label: string }[] = [
    { value: "present", label: t.allStates },
    { value: "active", label: t.status.active },
    { value: "disabled", label: t.status.disabled },
    { value: "expired", label: t.status.expired },
    { value: "revoked", label: t.status.revoked },
    { value: "deleted", label: t.status.deleted },
    { value: "everything", label: t.everything },
  ];
  return (
    <div class="toolbar">
      <SearchField
        hint={t.searchHint}
        value={filter.text}
        onValue={(text) => onFilter({ ...filter, text })}
      />
      <Select
        aria-label={t.statusFilter}
        value={filter.status}
        options={states}
        onValue={(status) => onFilter({ ...filter, status })}
      />
      {tags.length > 0 && (
        <Select
          aria-label={t.tagFilter}
          value={filter.tag}
          options={[
            { value: "", label: t.allTags },
            ...tags.map((value) => ({ value, label: value })),
          ]}
          onValue={(tag) => onFilter({ ...filter, tag })}
        />
      )}
    </div>
  );
}
