/** Alarms as the analytics node tells them, which follows from which, and when a rule would have raised some; pure. */

import { type Document, isDocument, isList, type Json } from "../../model/document";

/** Which alarm, of what. */
export interface AlarmPlace {
  readonly table: string;
  readonly name: string;
  readonly type: string;
}

export interface Alarm extends AlarmPlace {
  readonly key: string;
  readonly severity: number;
  readonly description: string;
  readonly acknowledged: boolean;
  /** By whom, as far as it is told. */
  readonly seenBy: string;
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly token: string;
  /** The conditions by which its rule holds. */
  readonly reasons: readonly string[];
  readonly parent: AlarmPlace | undefined;
  /** How many follow from it; all of them, of which some may not be shown. */
  readonly following: number;
}

const VALUES_SHOWN = 3;

function documents(value: Json | undefined): readonly Document[] {
  return isList(value) ? value.filter(isDocument) : [];
}

export function keyOf({ table, name, type }: AlarmPlace): string {
  return `${table} ${name} ${type}`;
}

export function alarmsOf(told: Document): Alarm[] {
  return Object.entries(told).flatMap(([table, entities]) =>
    documents(entities).flatMap((entity) => {
      const value = entity["value"];
      const held = isDocument(value) ? value["UVEAlarms"] : undefined;
      return documents(isDocument(held) ? held["alarms"] : undefined).map((alarm) => alarmOf(table, String(entity["name"]), alarm));
    }),
  );
}

function alarmOf(table: string, name: string, alarm: Document): Alarm {
  const place = { table, name, type: String(alarm["type"] ?? "") };
  const parent = alarm["parent"];
  return {
    ...place,
    key: keyOf(place),
    severity: Number(alarm["severity"] ?? 0),
    description: String(alarm["description"] ?? ""),
    acknowledged: alarm["ack"] === true,
    seenBy: [alarm["ack_user"], alarm["ack_project"]].filter((each) => typeof each === "string" && each !== "").join(" of "),
    since: Number(alarm["timestamp"] ?? 0) / 1000,
    token: String(alarm["token"] ?? ""),
    reasons: reasonsOf(alarm["alarm_rules"]),
    parent: isDocument(parent) ? { table: String(parent["type"]), name: String(parent["name"]), type: String(parent["rule"]) } : undefined,
    following: Number(alarm["children_count"] ?? 0),
  };
}

/** The conditions that hold, with the values that met them. */
export function reasonsOf(matched: Json | undefined): string[] {
  if (!isDocument(matched)) return [];
  return documents(matched["or_list"]).flatMap((both) =>
    documents(both["and_list"]).map(({ condition, match }) => {
      const said = isDocument(condition) ? condition : {};
      const hits = documents(match);
      const values = hits.slice(0, VALUES_SHOWN).map((hit) => String(hit["json_operand1_value"]));
      const more = hits.length > VALUES_SHOWN ? ` and ${hits.length - VALUES_SHOWN} more` : "";
      return `${String(said["operand1"])} ${String(said["operation"])} ${String(said["operand2"])}: it is ${values.join(", ")}${more}`;
    }),
  );
}

/** The most severe first; those that follow from one that is here are not beside it but below it. */
export function topOf(alarms: readonly Alarm[]): Alarm[] {
  const here = new Set(alarms.map(keyOf));
  return alarms
    .filter(({ parent }) => parent === undefined || !here.has(keyOf(parent)))
    .toSorted((one, other) => one.severity - other.severity || one.name.localeCompare(other.name));
}

export function followingOf(alarms: readonly Alarm[], parent: AlarmPlace): Alarm[] {
  return alarms.filter((each) => each.parent !== undefined && keyOf(each.parent) === keyOf(parent));
}

export function timeText(ms: number): string {
  return ms > 0 ? new Date(ms).toISOString().slice(0, 19).replace("T", " ") : "";
}

/** One live table of nodes, kept when an alarm was raised. */
export interface KeptPage {
  readonly title: string;
  readonly rows: readonly Document[];
  readonly columns: readonly string[];
  readonly total: number;
  readonly failures: readonly string[];
}

/** The pages kept with one raising of an alarm. */
export function keptOf(told: Document, alarm: Alarm): KeptPage[] {
  const one = documents(told["collected"]).find((each) => each["rule"] === alarm.type && Number(each["raised_us"]) === alarm.since * 1000);
  return documents(one?.["pages"]).map((page) => {
    const rows = documents(page["rows"]);
    return {
      title: `${String(page["process"])} ${String(page["table"])}`,
      rows,
      columns: [...new Set(rows.flatMap(Object.keys))].filter((name) => name !== "process"),
      total: Number(page["total"] ?? 0),
      failures: documents(page["failures"]).map((each) => [each["node"], each["reason"]].filter(Boolean).join(": ")),
    };
  });
}

/** What a rule would have done. */
export interface Tried {
  readonly alarms: readonly Document[];
  readonly alarms_count: number;
  readonly entities_count: number;
  readonly steps_count: number;
  readonly cut_count: number;
  readonly every_s: number;
}

export interface Raising {
  readonly key: string;
  readonly raised: string;
  readonly cleared: string;
  readonly table: string;
  readonly name: string;
  readonly reasons: readonly string[];
}

export function raisingsOf({ alarms }: Tried): Raising[] {
  return alarms.map((each, index) => {
    const cleared = each["cleared_us"];
    const end = typeof cleared === "number" ? timeText(cleared / 1000) : "it stands";
    return {
      key: String(index),
      raised: `${each["is_from_before"] === true ? "before " : ""}${timeText(Number(each["raised_us"]) / 1000)}`,
      cleared: each["is_restart"] === true ? `${end}, the analytics node began anew` : end,
      table: String(each["type"]),
      name: String(each["name"]),
      reasons: reasonsOf(each["matched"]),
    };
  });
}
