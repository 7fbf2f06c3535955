/** What processes say of themselves and of entities, from the analytics node by way of the API. */

import { useQuery } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";

import { call, Refused } from "../../api/client";
import { moment } from "../../api/moment";
import { seesAll, seesType } from "../../api/session";
import type { Uve } from "../../api/uveTables";
import { useConsole } from "../../app/context";
import { isDocument, type Document, type Json } from "../../model/document";
import { alarmsOf } from "./alarms";

export type { Uve } from "../../api/uveTables";

const AGAIN_MS = 5000;
export const NOT_KEPT = "What processes hold is not kept. What they said of entities, and logged, is.";

/** Refuses to show what is held now as what was held then. */
export function asNow<T>(ask: () => Promise<T>): Promise<T> {
  return moment.get() === null ? ask() : Promise.reject(new Error(NOT_KEPT));
}

/** What is of no project is not asked for on behalf of members: they would be refused. */
export function useSeesAll(): boolean {
  return seesAll(useConsole().identity);
}

/** Refuses as the server would. */
export function unlessSeen(isSeen: boolean): void {
  if (!isSeen) throw new Refused(403, "Permission Denied");
}

/** `?at=TIME` in the past, nothing now; `first` is what stands before it. */
function asThen(first: "?" | "&"): string {
  const past = moment.get();
  return past === null ? "" : `${first}at=${encodeURIComponent(past.time)}`;
}

const nobody = () => () => undefined;

/** Whether the stream feeds a type, which it does while somebody shows it and may see it. */
function useFed(type: string, isSeen: boolean): boolean {
  const { live } = useConsole();
  useEffect(() => (isSeen ? live?.follow(type) : undefined), [live, type, isSeen]);
  return useSyncExternalStore(live?.subscribe ?? nobody, () => live?.feeds(type) ?? false);
}

/** What the stream says; while there is none, asked every few seconds: processes look every ten. */
export function useUves(type: string) {
  const { live, identity } = useConsole();
  const isSeen = seesType(identity, type);
  const isFed = useFed(type, isSeen);
  return useQuery({
    queryKey: ["uves", type],
    queryFn: async ({ signal }) => {
      unlessSeen(isSeen);
      const told = (await live?.told(type, signal)) as readonly Uve[] | null | undefined;
      return told ?? (await call<{ value: Uve[] }>("GET", `/api/v1/analytics/uves/${type}/*?flat${asThen("&")}`, { signal })).value;
    },
    refetchInterval: isFed || !isSeen || moment.get() !== null ? false : AGAIN_MS,
    retry: false,
  });
}

export function useAlarms() {
  const { live, identity } = useConsole();
  const isSeen = seesType(identity, "alarms");
  const isFed = useFed("alarms", isSeen);
  return useQuery({
    queryKey: ["alarms"],
    queryFn: async ({ signal }) => {
      unlessSeen(isSeen);
      const told = (await live?.told("alarms", signal)) as Document | null | undefined;
      return alarmsOf(told ?? (await call<Document>("GET", `/api/v1/analytics/alarms${asThen("?")}`, { signal })));
    },
    refetchInterval: isFed || !isSeen || moment.get() !== null ? false : AGAIN_MS,
    retry: false,
  });
}

/** Why nothing is shown, in words of the operator; empty when something is. */
export function absence(error: Error | null): string {
  if (error === null) return "";
  if (error instanceof Refused && error.status === 403) return "Analytics is for administrators and global readers.";
  if (error instanceof Refused && error.status === 404 && error.message.startsWith("at:")) return "No history is kept: what was then is not known.";
  if (error instanceof Refused && error.status === 404) return "This API server knows no analytics node (its option --analytics).";
  return error.message;
}

/** The value at a path such as `NodeStatus.process_status`. */
export function at(value: Json | undefined, path: string): Json | undefined {
  let here = value;
  for (const key of path.split(".")) here = isDocument(here) ? here[key] : undefined;
  return here;
}
