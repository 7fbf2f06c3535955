/** Every process there is: what it says of itself now, or that it says nothing. */

import { useQuery, useQueryClient } from "@tanstack/react-query";

import { call } from "../../api/client";
import { moment } from "../../api/moment";
import { type Document, isDocument, isList, type Json } from "../../model/document";
import { asNow, at, type Uve, unlessSeen, useSeesAll, useUves } from "./uves";

export type Health = "Functional" | "Non-Functional" | "No answer" | "Not connected";

export interface Process {
  readonly key: string;
  readonly node: string;
  /** Empty: nobody told which processes the node has. */
  readonly process: string;
  readonly kind: string;
  readonly health: Health;
  readonly why: string;
  readonly version: string;
  readonly uptimeS: number | null;
  readonly residentBytes: number | null;
  readonly openFds: number | null;
  readonly cpuSeconds: number | null;
  /** Of one processor, since the reading before. */
  readonly cpuPercent: number | null;
}

/** What one question to all processes comes to. */
export interface Gathered {
  readonly rows: readonly Document[];
  readonly total: number;
  readonly failures: readonly { readonly node: string; readonly process: string; readonly reason: string }[];
}

const KINDS: Readonly<Record<string, string>> = {
  "contrail-api": "Configuration API",
  "contrail-schema": "Compiler",
  "contrail-control": "Control node",
  "contrail-vrouter-agent": "vRouter",
  "contrail-analytics-api": "Analytics",
};

export const NODE_TYPES = { "config-node": "Configuration", "control-node": "Control node", "analytics-node": "Analytics", vrouter: "vRouter" } as const;

export function kindOf(process: string): string {
  return KINDS[process] ?? process;
}

/** The page of one process. */
export function placeOf(node: string, process: string): string {
  return `/nodes/${encodeURIComponent(node)}/${encodeURIComponent(process)}`;
}

export const AGENT = "contrail-vrouter-agent";
export const CONTROL = "contrail-control";

const AGAIN_MS = 5000;

/** Processes that answer, those that do not, and nodes that are only told of or configured. */
export function processesOf(found: Gathered, told: readonly (readonly [kind: string, uves: readonly Uve[]])[], before: readonly Process[] = []): Process[] {
  const former = new Map(before.map((each) => [each.key, each]));
  const answering = found.rows.map((row) => answeringOf(row, former));
  const silent = found.failures.map(({ node, process, reason }) => nothingOf(node, process, "No answer", reason));
  const heard = new Set([...answering, ...silent].map(({ key }) => key));
  const nodes = new Set([...answering, ...silent].map(({ node }) => node));
  const absent = told.flatMap(([kind, uves]) => uves.flatMap((uve) => absentOf(kind, uve, nodes)));
  return [...answering, ...silent, ...absent.filter(({ key }) => !heard.has(key))].toSorted(
    (one, other) => one.node.localeCompare(other.node) || one.process.localeCompare(other.process),
  );
}

function answeringOf(row: Document, former: ReadonlyMap<string, Process>): Process {
  const [node, process] = [String(row["node"]), String(row["process"])];
  const unmet = isList(row["unmet"]) ? row["unmet"].map(String) : [];
  const number = (name: string) => (typeof row[name] === "number" ? row[name] : null);
  const [cpuSeconds, uptimeS] = [number("cpu_seconds"), number("uptime_s")];
  const key = `${node} ${process}`;
  return {
    key, node, process, kind: kindOf(process), cpuSeconds, uptimeS,
    health: row["healthy"] === true ? "Functional" : "Non-Functional",
    why: unmet.length > 0 ? `${unmet.join(", ")} missing` : "",
    version: String(row["version"] ?? ""),
    residentBytes: number("resident_bytes"),
    openFds: number("open_fds"),
    cpuPercent: shareOf(former.get(key), cpuSeconds, uptimeS),
  };
}

/** Two readings of one process apart in its own time; one that began anew has none yet. */
function shareOf(former: Process | undefined, cpuSeconds: number | null, uptimeS: number | null): number | null {
  if (former === undefined || former.cpuSeconds === null || former.uptimeS === null || cpuSeconds === null || uptimeS === null) return null;
  const passed = uptimeS - former.uptimeS;
  if (passed < 0) return null;
  return passed < 1 ? former.cpuPercent : Math.max(0, (100 * (cpuSeconds - former.cpuSeconds)) / passed);
}

function nothingOf(node: string, process: string, health: Health, why: string, kind = kindOf(process)): Process {
  return { key: `${node} ${process}`, node, process, kind, health, why, version: "", uptimeS: null, residentBytes: null, openFds: null, cpuSeconds: null, cpuPercent: null };
}

function absentOf(kind: string, { name, value }: Uve, nodes: ReadonlySet<string>): Process[] {
  const said = at(value, "NodeStatus.process_status");
  const modules = isList(said) ? said.filter(isDocument).map((each) => String(each["module_id"] ?? "")) : [];
  if (modules.length > 0) return modules.map((module) => nothingOf(name, module, "Not connected", "it is not connected to this analytics node"));
  return nodes.has(name) ? [] : [nothingOf(name, "", "Not connected", "it is configured, and no process of it has told of itself", kind)];
}

/** Asks all processes for one table; what is said now is not what was said then. */
export function gather(table: string, query: URLSearchParams, signal?: AbortSignal): Promise<Gathered> {
  const path = `/api/v1/analytics/introspect/${encodeURIComponent(table)}?${query.toString()}`;
  return asNow(() => call<Gathered>("GET", path, signal === undefined ? {} : { signal }));
}

export function useProcesses(): { processes: readonly Process[]; error: Error | null; isLoading: boolean } {
  const queries = useQueryClient();
  const isSeen = useSeesAll();
  const config = useUves("config-node");
  const control = useUves("control-node");
  const analytics = useUves("analytics-node");
  const vrouter = useUves("vrouter");
  const found = useQuery({
    queryKey: ["processes"],
    queryFn: async ({ signal }) => {
      unlessSeen(isSeen);
      const before = queries.getQueryData<{ processes: readonly Process[] }>(["processes"])?.processes ?? [];
      const answer = await gather("process", new URLSearchParams({ timeout: "3" }), signal);
      return { answer, processes: processesOf(answer, [], before) };
    },
    refetchInterval: isSeen && moment.get() === null ? AGAIN_MS : false,
    retry: false,
  });
  const told = [["config-node", config], ["control-node", control], ["analytics-node", analytics], ["vrouter", vrouter]] as const;
  const uves = told.map(([type, { data }]) => [NODE_TYPES[type], data ?? []] as const);
  const processes = found.data === undefined ? [] : processesOf(found.data.answer, uves, found.data.processes);
  return { processes: withShares(processes, found.data?.processes ?? []), error: found.error, isLoading: found.isLoading || told.some(([, { isLoading }]) => isLoading) };
}

function withShares(processes: readonly Process[], measured: readonly Process[]): readonly Process[] {
  const shares = new Map(measured.map(({ key, cpuPercent }) => [key, cpuPercent]));
  return processes.map((each) => ({ ...each, cpuPercent: shares.get(each.key) ?? null }));
}

const UNITS = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]] as const;

/** A duration in its two greatest units. */
export function durationText(seconds: Json | undefined): string {
  if (typeof seconds !== "number") return "";
  let rest = Math.max(0, Math.floor(seconds));
  const parts = UNITS.flatMap(([unit, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return count > 0 ? [`${count} ${unit}`] : [];
  });
  return parts.length === 0 ? "0 s" : parts.slice(0, 2).join(" ");
}
