/** The questions behind the pictures that change by themselves: rates, tunnels, the way of a flow. */

import { useQuery } from "@tanstack/react-query";

import { call, list } from "../../api/client";
import { againUnlessFailed, moment, timeAsOf } from "../../api/moment";
import { isDocument } from "../../model/document";
import { SOURCES } from "../charts/series";
import { useUves } from "../monitor/uves";
import { namesOf, type Named, type Row, tunnelsBody, tunnelsOf, underlayOf, type Way } from "./underlay";

/** Processes tell every ten seconds: a minute has some of each. */
const RATE_S = 60;
export const LATELY = "now-10m";

async function rowsOf(body: Record<string, unknown>, signal: AbortSignal): Promise<Row[]> {
  return (await call<{ value: Row[] }>("POST", "/api/v1/analytics/query", { body, signal })).value;
}

/** In bytes per second. */
export interface Rate {
  readonly in: number;
  readonly out: number;
}

/** How much each object of a type has just now, by the name that generators tell of it. */
export function useRates(type: "virtual-network" | "virtual-router") {
  return useQuery({
    queryKey: ["rates", type],
    queryFn: async ({ signal }): Promise<ReadonlyMap<string, Rate>> => {
      const source = SOURCES[type]?.[0];
      const [inward, outward] = (source?.columns ?? []).map(({ name }) => `SUM(${name})`);
      if (source === undefined || inward === undefined || outward === undefined) return new Map();
      const rows = await rowsOf({
        table: source.table, start_time: timeAsOf(`now-${RATE_S}s`, moment.get()), end_time: timeAsOf("now", moment.get()),
        select_fields: ["name", inward, outward], limit: 10_000,
      }, signal);
      return new Map(rows.map((row) => [String(row["name"]), { in: Number(row[inward] ?? 0) / RATE_S, out: Number(row[outward] ?? 0) / RATE_S }]));
    },
    refetchInterval: againUnlessFailed,
    retry: false,
  });
}

const INTERFACES = "StatTable.PRouterEntry.ifStats";
const INWARD = "SUM(ifStats.ifInOctets)";
const OUTWARD = "SUM(ifStats.ifOutOctets)";
/** Switches tell every half a minute or so. */
const SWITCH_RATE_S = 120;

/** What switches count at their interfaces, by `switch index`. */
export function useInterfaceRates() {
  return useQuery({
    queryKey: ["rates", "interfaces"],
    queryFn: async ({ signal }): Promise<ReadonlyMap<string, Rate>> => {
      const rows = await rowsOf({
        table: INTERFACES, start_time: timeAsOf(`now-${SWITCH_RATE_S}s`, moment.get()), end_time: timeAsOf("now", moment.get()),
        select_fields: ["name", "ifStats.ifIndex", INWARD, OUTWARD], limit: 10_000,
      }, signal);
      return new Map(rows.map((row) => [
        `${String(row["name"])} ${String(row["ifStats.ifIndex"])}`,
        { in: Number(row[INWARD] ?? 0) / SWITCH_RATE_S, out: Number(row[OUTWARD] ?? 0) / SWITCH_RATE_S },
      ]));
    },
    refetchInterval: againUnlessFailed,
    retry: false,
  });
}

/** Routers that are no hosts of ours, by the address at which tunnels end. */
function useRouters() {
  return useQuery({
    queryKey: ["list", "bgp-router", "underlay"],
    queryFn: async (): Promise<Named> => {
      const { items } = await list("bgp-router", { fields: ["bgp_router_parameters"], limit: 1000 });
      return Object.fromEntries(items.flatMap((each) => {
        const parameters = each["bgp_router_parameters"];
        const address = isDocument(parameters) ? parameters["address"] : undefined;
        return typeof address === "string" ? [[address, each.fq_name.at(-1) ?? ""] as const] : [];
      }));
    },
    retry: false,
  });
}

export function useUnderlay() {
  const hosts = useUves("vrouter");
  const switches = useUves("prouter");
  const routers = useRouters();
  const rows = useQuery({
    queryKey: ["tunnels"],
    queryFn: ({ signal }) =>
      Promise.all((["client", "server"] as const).map((side) => rowsOf(tunnelsBody(side, timeAsOf(LATELY, moment.get()), timeAsOf("now", moment.get())), signal))),
    refetchInterval: againUnlessFailed,
    retry: false,
  });
  const names = namesOf(hosts.data ?? [], routers.data ?? {});
  const [clients = [], servers = []] = rows.data ?? [];
  return {
    underlay: underlayOf(hosts.data ?? [], switches.data ?? [], tunnelsOf(clients, servers, names)),
    error: hosts.error ?? rows.error,
    isLoading: hosts.isLoading || switches.isLoading,
  };
}

/** The way of flows from one address to another through switches. */
export function useWay(source: string, destination: string) {
  return useQuery({
    queryKey: ["underlay-way", source, destination],
    queryFn: ({ signal }) => {
      const start = timeAsOf("now-1h", moment.get());
      const asked = new URLSearchParams({ source, destination, start_time: String(start), end_time: String(timeAsOf("now", moment.get())) });
      return call<Way>("GET", `/api/v1/analytics/underlay-path?${asked.toString()}`, { signal });
    },
    enabled: source !== "" && destination !== "",
    retry: false,
  });
}
