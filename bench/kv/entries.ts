const LIST_MAX = 1_000;

export interface KvEntry {
  value: string;
  /** As JSON. */
  metadata: string | null;
}

/** A namespace of Workers KV in memory. Lives end with the benchmark: nothing expires before. */
export class KvEntries {
  readonly #entries = new Map<string, KvEntry>();

  get(name: string): KvEntry | null {
    return this.#entries.get(name) ?? null;
  }

  getMany(names: string[], asJson: boolean): Record<string, unknown> {
    return Object.fromEntries(
      names.map((name) => {
        const value = this.get(name)?.value ?? null;
        return [name, value === null || !asJson ? value : JSON.parse(value)];
      }),
    );
  }

  put(name: string, entry: KvEntry): void {
    this.#entries.set(name, entry);
  }

  delete(name: string): void {
    this.#entries.delete(name);
  }

  /** @param query as the binding sends it; the cursor is the last name of the page before */
  list(query: URLSearchParams): object {
    const prefix = query.get("prefix") ?? "";
    const after = query.get("cursor") ?? "";
    const limit = Number(query.get("key_count_limit") ?? LIST_MAX);
    const found = [...this.#entries.keys()]
      .filter((name) => name.startsWith(prefix) && name > after)
      .sort();
    const names = found.slice(0, limit);
    const keys = names.map((name) => {
      const metadata = this.get(name)?.metadata ?? null;
      return { name, ...(metadata === null ? {} : { metadata }) };
    });
    return found.length <= limit
      ? { keys, list_complete: true, cacheStatus: null }
      : { keys, list_complete: false, cursor: names.at(-1), cacheStatus: null };
  }
}
