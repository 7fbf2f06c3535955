/** What processes say of themselves and of entities, from the analytics node by way of the API. */

import { useQuery } from "@tanstack/react-query";

import { call, Refused } from "../../api/client";
import { moment } from "../../api/moment";
import { isDocument, isList, type Document, type Json } from "../../model/document";

export interface Uve {
  readonly name: string;
  readonly value: Document;
}

const AGAIN_MS = 5000;
const NOT_KEPT = "What processes say is not kept. What they logged then, sessions and numbers are in Logs and flows.";

/** Refuses to show what is said now as what was said then. */
export function asNow<T>(ask: () => Promise<T>): Promise<T> {
  return moment.get() === null ? ask() : Promise.reject(new Error(NOT_KEPT));
}

/** Processes look every ten seconds; half of that shows each change soon enough. */
export function useUves(type: string) {
  return useQuery({
    queryKey: ["uves", type],
    queryFn: () => asNow(async () => (await call<{ value: Uve[] }>("GET", `/api/v1/analytics/uves/${type}/*?flat`)).value),
    refetchInterval: AGAIN_MS,
    retry: false,
  });
}

export interface Alarm {
  readonly key: string;
  readonly table: string;
  readonly name: string;
  readonly type: string;
  readonly severity: number;
  readonly description: string;
  readonly acknowledged: boolean;
  readonly since: number;
  readonly token: string;
}

export function useAlarms() {
  return useQuery({
    queryKey: ["alarms"],
    queryFn: () => asNow(async () => alarmsOf(await call<Document>("GET", "/api/v1/analytics/alarms"))),
    refetchInterval: AGAIN_MS,
    retry: false,
  });
}

export function alarmsOf(told: Document): Alarm[] {
  return Object.entries(told).flatMap(([table, entities]) =>
    (isList(entities) ? entities.filter(isDocument) : []).flatMap((entity) => {
      const value = entity["value"];
      const held = isDocument(value) ? value["UVEAlarms"] : undefined;
      const alarms = isDocument(held) && isList(held["alarms"]) ? held["alarms"].filter(isDocument) : [];
      return alarms.map((alarm) => alarmOf(table, String(entity["name"]), alarm));
    }),
  );
}

function alarmOf(table: string, name: string, alarm: Document): Alarm {
  return {
    key: `${table} ${name} ${String(alarm["type"])}`,
    table,
    name,
    type: String(alarm["type"] ?? ""),
    severity: Number(alarm["severity"] ?? 0),
    description: String(alarm["description"] ?? ""),
    acknowledged: alarm["ack"] === true,
    since: Number(alarm["timestamp"] ?? 0) / 1000,
    token: String(alarm["token"] ?? ""),
  };
}

/** Why nothing is shown, in words of the operator; empty when something is. */
export function absence(error: Error | null): string {
  if (error === null) return "";
  if (error instanceof Refused && error.status === 403) return "Analytics is for administrators and global readers.";
  if (error instanceof Refused && error.status === 404) return "This API server knows no analytics node (its option --analytics).";
  return error.message;
}

/** The value at a path such as `NodeStatus.process_status`. */
export function at(value: Json | undefined, path: string): Json | undefined {
  let here = value;
  for (const key of path.split(".")) here = isDocument(here) ? here[key] : undefined;
  return here;
}
