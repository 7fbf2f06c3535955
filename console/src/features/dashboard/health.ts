/** Whether all is well, in one sentence, from alarms and processes; and who uses or is denied most. Pure. */

import type { Alarm } from "../monitor/alarms";
import type { Process } from "../monitor/processes";

export type State = "well" | "warned" | "ill";

export interface Health {
  readonly state: State;
  readonly title: string;
  readonly detail: string;
}

/** Alarms as the analytics node counts them: 0 is critical, 1 major, 2 minor. */
const MAJOR = 1;

export function counted(count: number, one: string, many = `${one}s`): string {
  return count === 1 ? `1 ${one}` : `${count.toLocaleString("en")} ${many}`;
}

/** Alarms that somebody has seen do not make it worse than a warning. */
export function healthOf(alarms: readonly Alarm[], processes: readonly Process[]): Health {
  const open = alarms.filter(({ acknowledged }) => !acknowledged);
  const severe = open.filter(({ severity }) => severity <= MAJOR);
  const unwell = processes.filter(({ health }) => health !== "Functional");
  const nodes = new Set(processes.map(({ node }) => node)).size;
  const ran = `${counted(processes.length, "process", "processes")} on ${counted(nodes, "node")}`;
  if (alarms.length === 0 && processes.length === 0) return { state: "warned", title: "Nothing is known yet", detail: "No process has told of itself." };
  if (alarms.length === 0 && unwell.length === 0) return { state: "well", title: "All is well", detail: `${ran}, all functional. No alarm is raised.` };
  const parts = [
    alarms.length > 0 ? counted(alarms.length, "alarm") : "",
    unwell.length > 0 ? `${counted(unwell.length, "process", "processes")} not functional` : "",
  ].filter(Boolean);
  const seen = alarms.length - open.length;
  const [worst] = open.toSorted((one, other) => one.severity - other.severity);
  const about = worst === undefined ? "" : `${worst.description} (${worst.name}).`;
  const detail = [about, `${ran}.`, seen > 0 ? `${counted(seen, "alarm")} acknowledged.` : ""].filter(Boolean).join(" ");
  return { state: severe.length > 0 || unwell.length > 0 ? "ill" : "warned", title: parts.join(", "), detail };
}

/** How many of a kind of processes there are, and how many of them are well. */
export function upOf(processes: readonly Process[], kind: string): { readonly up: number; readonly all: number } {
  const own = processes.filter((each) => each.kind === kind);
  return { up: own.filter(({ health }) => health === "Functional").length, all: own.length };
}

export interface Share {
  readonly key: string;
  readonly value: number;
  /** Of the greatest, between 0 and 1. */
  readonly part: number;
}

/** The greatest, without those that have nothing. */
export function most(values: ReadonlyMap<string, number>, count: number): Share[] {
  const some = [...values].filter(([, value]) => value > 0).toSorted(([, one], [, other]) => other - one).slice(0, count);
  const top = some[0]?.[1] ?? 1;
  return some.map(([key, value]) => ({ key, value, part: value / top }));
}
