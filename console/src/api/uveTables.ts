/** What a stream of UVEs comes to: entities by type, alarms of all; made from events, in their order. Pure. */

import tables from "../generated/uveTables.json";
import { type Document, isDocument } from "../model/document";
import { readJson } from "../model/plain";

export interface Uve {
  readonly name: string;
  readonly value: Document;
}

export interface StreamEvent {
  readonly event: string;
  readonly data: string;
}

/** Events of a text that has arrived so far, and the unfinished rest. */
export function eventsOf(text: string): { readonly events: readonly StreamEvent[]; readonly rest: string } {
  const parts = text.split("\n\n");
  const rest = parts.pop() ?? "";
  const events = parts.map((part) => {
    const lines = part.split("\n");
    const said = (name: string) => lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2)).join("\n");
    return { event: said("event"), data: said("data") };
  });
  return { events: events.filter(({ event }) => event !== ""), rest };
}

/** By the word of a type. */
export const TABLES: Readonly<Record<string, string>> = tables;
const ALARMS = "UVEAlarms";

export class UveTables {
  /** Table to name to entity. */
  readonly #tables = new Map<string, Map<string, Document>>();
  #isWhole = false;
  /** Table to names that changed. */
  #changed = new Map<string, Set<string>>();
  #areAlarmsNew = true;

  /** Whether everything was told since the stream began. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  take({ event, data }: StreamEvent): void {
    if (event === "init") {
      // Told anew from the beginning: what is not told again is gone.
      for (const [table, entities] of this.#tables) for (const name of entities.keys()) this.#note(table, name);
      this.#tables.clear();
      this.#isWhole = false;
      this.#areAlarmsNew = true;
    } else if (event === "synced") this.#isWhole = true;
    else if (event === "update") this.#update(readJson(data) as Document);
  }

  #update({ key, type, value }: Document): void {
    const [table = "", ...rest] = String(key).split(":");
    const name = rest.join(":");
    const entities = this.#tables.get(table) ?? new Map<string, Document>();
    this.#tables.set(table, entities);
    this.#note(table, name);
    const before = entities.get(name) ?? {};
    if (type === ALARMS || (typeof type !== "string" && before[ALARMS] !== undefined)) this.#areAlarmsNew = true;
    const { [String(type)]: _, ...others } = before;
    const entity = typeof type !== "string" ? {} : isDocument(value) ? { ...others, [type]: value } : others;
    if (Object.keys(entity).length === 0) entities.delete(name);
    else entities.set(name, entity);
  }

  #note(table: string, name: string): void {
    const names = this.#changed.get(table) ?? new Set();
    this.#changed.set(table, names.add(name));
  }

  /** Names of what changed since this was asked before, by table. */
  takeChanged(): ReadonlyMap<string, ReadonlySet<string>> {
    const changed = this.#changed;
    this.#changed = new Map();
    return changed;
  }

  /** Whether alarms may have changed since this was asked before. */
  takeAlarmsNew(): boolean {
    const areNew = this.#areAlarmsNew;
    this.#areAlarmsNew = false;
    return areNew;
  }

  /** One entity; null: it is gone. */
  uve(table: string, name: string): Document | null {
    return this.#tables.get(table)?.get(name) ?? null;
  }

  uves(type: string): Uve[] {
    return [...(this.#tables.get(TABLES[type] ?? "") ?? [])].map(([name, value]) => ({ name, value }));
  }

  /** As the server answers for its alarms: entities by the table they are in. */
  alarms(): Document {
    const words = new Map(Object.entries(TABLES).map(([word, table]) => [table, word]));
    const found = [...this.#tables].map(([table, entities]) => {
      const raised = [...entities].filter(([, entity]) => isDocument(entity[ALARMS]));
      return [words.get(table) ?? table, raised.map(([name, entity]) => ({ name, value: { [ALARMS]: entity[ALARMS] } }))] as const;
    });
    return Object.fromEntries(found.filter(([, entities]) => entities.length > 0));
  }
}
