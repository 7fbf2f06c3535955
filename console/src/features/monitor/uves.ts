/** What processes say of themselves and of entities, from the analytics node by way of the API. */

import { useQuery } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";

import { call, Refused } from "../../api/client";
import { moment } from "../../api/moment";
import type { Uve } from "../../api/uveTables";
import { useConsole } from "../../app/context";
import { isDocument, isList, type Document, type Json } from "../../model/document";

export type { Uve } from "../../api/uveTables";

const AGAIN_MS = 5000;
const NOT_KEPT = "What processes say is not kept. What they logged then, sessions and numbers are in Logs and flows.";

/** Refuses to show what is said now as what was said then. */
export function asNow<T>(ask: () => Promise<T>): Promise<T> {
  return moment.get() === null ? ask() : Promise.reject(new Error(NOT_KEPT));
}

const nobody = () => () => undefined;

/** Whether the stream feeds a type, which it does while somebody shows it. */
function useFed(type: string): boolean {
  const { live } = useConsole();
  useEffect(() => live?.follow(type), [live, type]);
  return useSyncExternalStore(live?.subscribe ?? nobody, () => live?.feeds(type) ?? false);
}

/** What the stream says; while there is none, asked every few seconds: processes look every ten. */
export function useUves(type: string) {
  const { live } = useConsole();
  const isFed = useFed(type);
  return useQuery({
    queryKey: ["uves", type],
    queryFn: ({ signal }) =>
      asNow(async () => {
        const told = (await live?.told(type, signal)) as readonly Uve[] | null | undefined;
        return told ?? (await call<{ value: Uve[] }>("GET", `/api/v1/analytics/uves/${type}/*?flat`, { signal })).value;
      }),
    refetchInterval: isFed ? false : AGAIN_MS,
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
  const { live } = useConsole();
  const isFed = useFed("alarms");
  return useQuery({
    queryKey: ["alarms"],
    queryFn: ({ signal }) =>
      asNow(async () => {
        const told = (await live?.told("alarms", signal)) as Document | null | undefined;
        return alarmsOf(told ?? (await call<Document>("GET", "/api/v1/analytics/alarms", { signal })));
      }),
    refetchInterval: isFed ? false : AGAIN_MS,
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
