import type { AccountPicture } from "../../src/alerts/account-incidents.ts";
import type { AlertKind, Incident, Occurrence } from "../../src/alerts/alert.ts";
import type { KeyLevel } from "./contract.ts";

/** An incident that is being told: whatever fails at the same time becomes one message. */
export const GATHER_MS = 3_000;

/** By kind and state. */
type Groups = Map<string, [Occurrence, ...Occurrence[]]>;
type Open = { incident: Incident; kinds: AlertKind[] };

/**
 * What is wrong, and what of it is still to be told. Whoever tells of it tells how things stand, not what
 * happened: so it may be told twice, and nothing is lost where it is told late.
 */
export class Incidents {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Takes in how the accounts stand. */
  observe({ incidents, watched }: Pick<AccountPicture, "incidents" | "watched">, atMs: number) {
    for (const incident of incidents) this.#raise(incident, atMs);
    const still = new Set(incidents.map(({ id }) => id));
    const isWatched = new Set(watched);
    for (const { incident, kinds } of this.#open()) {
      const { id, subject } = incident;
      if (subject.type === "key" || still.has(id)) continue;
      const isGone = subject.type === "account" && !isWatched.has(subject.id);
      const reason = isGone ? "it was switched off, removed or has expired" : incident.reason;
      this.#recover({ ...incident, reason }, kinds, atMs);
    }
  }

  /** Takes in how a key's limit stands. @param name what the key is called */
  observeKey({ keyId, limit, level, reason, untilMs, atMs }: KeyLevel, name: string): void {
    const id = `key:${keyId}:${limit}`;
    const known = this.#find(id);
    if (level === "none") {
      if (known !== null) {
        this.#recover({ ...known.incident, reason, untilMs: null }, known.kinds, atMs);
      }
      return;
    }
    this.#raise(
      {
        id,
        kind: level === "near" ? "key_near_limit" : "key_at_limit",
        cause: level,
        subject: { type: "key", id: keyId, name },
        reason,
        sinceMs: atMs,
        untilMs,
      },
      atMs,
    );
  }

  /** When the first occurrence that waits came; null: none does. */
  gatheredSinceMs(): number | null {
    return this.#sql.exec<{ at: number | null }>("SELECT MIN(at_ms) AS at FROM gathered").one().at;
  }

  /**
   * Takes what was gathered, by kind and state, in the order in which each group began. Of what came and
   * went meanwhile, how it stands now comes last: whoever reads the messages in turn is left with that.
   */
  take(): [Occurrence, ...Occurrence[]][] {
    const rows = this.#sql
      .exec<{ id: string; occurrence: string }>(
        "SELECT id, occurrence FROM gathered ORDER BY at_ms, id, state",
      )
      .toArray();
    const counts = new Map<string, number>();
    for (const { id } of rows) counts.set(id, (counts.get(id) ?? 0) + 1);
    const groups: Groups = new Map();
    const later: Groups = new Map();
    for (const { id, occurrence: text } of rows) {
      const occurrence = JSON.parse(text) as Occurrence;
      const isOpen = this.#find(id) !== null;
      const isHowItStands = isOpen === (occurrence.state === "raised");
      addTo(counts.get(id) === 2 && isHowItStands ? later : groups, occurrence);
    }
    this.#sql.exec("DELETE FROM gathered");
    return [...groups.values(), ...later.values()];
  }

  #raise(incident: Incident, atMs: number): void {
    const known = this.#find(incident.id);
    if (known !== null && known.incident.cause === incident.cause) return;
    const kinds = [...new Set([...(known?.kinds ?? []), incident.kind])];
    this.#sql.exec(
      `INSERT INTO incidents (id, incident, kinds) VALUES (?1, ?2, ?3)
       ON CONFLICT (id) DO UPDATE SET incident = ?2, kinds = ?3`,
      incident.id,
      JSON.stringify(incident),
      JSON.stringify(kinds),
    );
    this.#gather({ ...incident, state: "raised", kinds: [incident.kind], atMs });
  }

  #recover(incident: Incident, kinds: AlertKind[], atMs: number): void {
    this.#sql.exec("DELETE FROM incidents WHERE id = ?", incident.id);
    this.#gather({ ...incident, state: "recovered", kinds, atMs });
  }

  /** However often something comes and goes before it is told, it is told once. */
  #gather(occurrence: Occurrence): void {
    const { id, state, atMs } = occurrence;
    this.#sql.exec(
      `INSERT INTO gathered (id, state, occurrence, at_ms) VALUES (?1, ?2, ?3, ?4)
       ON CONFLICT (id, state) DO UPDATE SET occurrence = ?3`,
      id,
      state,
      JSON.stringify(occurrence),
      atMs,
    );
  }

  #find(id: string): Open | null {
    return this.#openRows("WHERE id = ?", id)[0] ?? null;
  }

  #open(): Open[] {
    return this.#openRows("ORDER BY id");
  }

  #openRows(rest: string, ...bindings: string[]): Open[] {
    return this.#sql
      .exec<{ incident: string; kinds: string }>(
        `SELECT incident, kinds FROM incidents ${rest}`,
        ...bindings,
      )
      .toArray()
      .map(({ incident, kinds }) => ({
        incident: JSON.parse(incident) as Incident,
        kinds: JSON.parse(kinds) as AlertKind[],
      }));
  }
}

function addTo(groups: Groups, occurrence: Occurrence): void {
  const name = `${occurrence.kind} ${occurrence.state}`;
  const group = groups.get(name);
  if (group === undefined) groups.set(name, [occurrence]);
  else group.push(occurrence);
}
