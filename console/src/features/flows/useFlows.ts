/** The questions behind the service map. */

import { useQuery } from "@tanstack/react-query";

import { call, type Found, list, read, uuidOf } from "../../api/client";
import { moment, timeAsOf } from "../../api/moment";
import { commonPolicies, type Ground, referred } from "./allow";
import { bodyOf, type Edge, mapOf, type Row, type Service, type Side } from "./flows";

const AGAIN_MS = 10_000;
const RECORDS_COUNT = 20;

async function rowsOf(body: Record<string, unknown>, signal: AbortSignal): Promise<Row[]> {
  return (await call<{ value: Row[] }>("POST", "/api/v1/analytics/query", { body, signal })).value;
}

export function useFlowMap(by: string, from: string) {
  return useQuery({
    queryKey: ["flow-map", by, from],
    queryFn: async ({ signal }) => {
      const ask = (side: Side) => rowsOf(bodyOf(by, from, side, moment.get()), signal);
      const [clients, servers] = await Promise.all([ask("client"), ask("server")]);
      return mapOf(clients, servers, by);
    },
    refetchInterval: moment.get() === null ? AGAIN_MS : false,
    retry: false,
  });
}

/** The condition that a column has a value. */
function is(name: string, value: string | number) {
  return { name, op: 1, value };
}

/** The newest sessions of a service between two nodes, as told by the host that decided. */
export function useRecords(by: string, from: string, edge: Edge, service: Service) {
  return useQuery({
    queryKey: ["flow-records", by, from, edge.key, service.key, service.toldBy],
    queryFn: ({ signal }) => {
      const [near, far] = service.toldBy === "client" ? [edge.from, edge.to] : [edge.to, edge.from];
      const where = [
        is("session_type", service.toldBy), is(by, near), is(`remote_${by}`, far), is("protocol", service.protocol),
        ...(service.port > 0 ? [is("server_port", service.port)] : []),
      ];
      return rowsOf({
        table: "SessionRecordTable",
        start_time: timeAsOf(from, moment.get()),
        end_time: timeAsOf("now", moment.get()),
        select_fields: [
          "T", "session_type", "vmi", "vn", "local_ip", "remote_vn", "remote_ip", "protocol", "server_port", "client_port", "forward_action",
          "drop_reason", "security_policy_rule", "vrouter",
        ],
        where: [where],
        sort_fields: ["T"],
        sort: 2,
        limit: RECORDS_COUNT,
      }, signal);
    },
    retry: false,
  });
}

export interface NamedRule {
  readonly type: string;
  readonly uuid: string;
  readonly name: readonly string[];
}

const HOLDERS = [
  ["network-policy", "network_policy_entries.policy_rule.rule_uuid"],
  ["security-group", "security_group_entries.policy_rule.rule_uuid"],
  ["firewall-rule", "uuid"],
] as const;

/** The object that has a rule; null when there is none, or none any more. */
export function useRule(uuid: string) {
  return useQuery({
    queryKey: ["rule", uuid],
    queryFn: async (): Promise<NamedRule | null> => {
      const pages = await Promise.all(HOLDERS.map(([type, path]) => list(type, { filter: [`${path}:eq:${uuid}`], fields: [], limit: 1 })));
      const place = pages.findIndex((page) => page.items.length > 0);
      const [found] = pages[place]?.items ?? [];
      const type = HOLDERS[place]?.[0];
      return found === undefined || type === undefined ? null : { type, uuid: found.uuid, name: found.fq_name };
    },
    enabled: uuid !== "",
    staleTime: 30_000,
    retry: false,
  });
}

async function named(type: string, name: string): Promise<Found> {
  const uuid = await uuidOf(type, name.split(":"));
  if (uuid === undefined) throw new Error(`There is no ${type} ${name} any more, or you may not see it.`);
  return read(type, uuid);
}

/** What decides about a flow between two networks to a port of the second; asked anew for each rule that is written. */
export function useGround(client: string, server: string, port: string) {
  return useQuery({
    queryKey: ["flow-ground", client, server, port],
    queryFn: async (): Promise<Ground> => {
      const [from, to] = await Promise.all([named("virtual-network", client), named("virtual-network", server)]);
      const groups = port === "" ? [] : referred((await named("virtual-machine-interface", port)).object["security_group_refs"]);
      return {
        client: from,
        server: to,
        policies: await Promise.all(commonPolicies(from, to).map((name) => named("network-policy", name))),
        groups: await Promise.all(groups.map((name) => named("security-group", name))),
      };
    },
    gcTime: 0,
    staleTime: Infinity,
    retry: false,
  });
}

/** The port that has an address in a network, by name; empty when none has. */
export function usePortOf(network: string, address: string, isAsked: boolean) {
  return useQuery({
    queryKey: ["port-of", network, address],
    queryFn: async () => {
      const found = await list("instance-ip", {
        filter: [`instance_ip_address:eq:${address}`, `virtual_network_refs:eq:${network}`],
        fields: ["virtual_machine_interface_refs"],
        limit: 1,
      });
      return referred(found.items[0]?.["virtual_machine_interface_refs"])[0] ?? "";
    },
    enabled: isAsked,
    retry: false,
  });
}
