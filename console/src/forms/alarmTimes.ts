/** Annotations of alarm rules that mean something: when a rule raises and lets go, what is kept. Pure. */

import { type Document, isDocument, isList, type Json } from "../model/document";

export interface Setting {
  /** The annotation's name. */
  readonly key: string;
  readonly title: string;
  /** What it means not to set it. */
  readonly unset: string;
  readonly note: string;
  readonly least?: number;
  readonly most?: number;
}

const DAY_S = 86_400;
const TIMES = "frequency-check-times";
const SECONDS = "frequency-check-seconds";

export const SETTINGS: readonly Setting[] = [
  { key: "active-timer-seconds", title: "Raised after", unset: "0", note: "seconds in which the rule holds", least: 0, most: DAY_S },
  { key: "idle-timer-seconds", title: "Gone after", unset: "15", note: "seconds in which it does not", least: 0, most: DAY_S },
  { key: TIMES, title: "Kept if raised more than", unset: "not looked at", note: "times", least: 1, most: 100 },
  { key: SECONDS, title: "Within", unset: "not looked at", note: "seconds: then it stays until it is more seldom", least: 1, most: DAY_S },
  { key: "collect", title: "Live tables kept", unset: "none", note: "of its nodes when it is raised, as in agent/drops agent/flows" },
];

function pairsOf(annotations: Json | undefined): Document[] {
  const held = isDocument(annotations) ? annotations["key_value_pair"] : undefined;
  return isList(held) ? held.map((each) => (isDocument(each) ? each : {})) : [];
}

export function settingOf(annotations: Json | undefined, key: string): string {
  const value = pairsOf(annotations).find((each) => each["key"] === key)?.["value"];
  return typeof value === "string" ? value : "";
}

/** The annotations with this one set, or without it; others stay as they are. */
export function withSetting(annotations: Json | undefined, key: string, text: string): Json | undefined {
  const pairs = pairsOf(annotations);
  const value = text.trim();
  const at = pairs.findIndex((each) => each["key"] === key);
  const others = pairs.filter((each, place) => each["key"] !== key || place === at);
  const next =
    value === "" ? others.filter((each) => each["key"] !== key)
    : at < 0 ? [...others, { key, value }]
    : others.map((each) => (each["key"] === key ? { ...each, value } : each));
  return next.length === 0 ? undefined : { ...(isDocument(annotations) ? annotations : {}), key_value_pair: next };
}

/** What the server would refuse of a setting, none of it: "". */
export function settingFault({ key, least, most }: Setting, annotations: Json | undefined): string {
  const text = settingOf(annotations, key);
  const partner = key === TIMES ? SECONDS : key === SECONDS ? TIMES : "";
  if (text === "") return partner !== "" && settingOf(annotations, partner) !== "" ? "both are needed, or neither" : "";
  if (least === undefined || most === undefined) return "";
  const isNumber = /^[0-9]{1,5}$/.test(text) && Number(text) >= least && Number(text) <= most;
  return isNumber ? "" : `a whole number from ${least} to ${most}`;
}

/** How many annotations are none of these. */
export function othersCount(annotations: Json | undefined): number {
  return pairsOf(annotations).filter((each) => !SETTINGS.some(({ key }) => key === each["key"])).length;
}
