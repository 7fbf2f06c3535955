/** The questions behind the service map. */

import { useQuery } from "@tanstack/react-query";

import { call, type Found, list, read, uuidOf } from "../../api/client";
import { againUnlessFailed, moment, timeAsOf } from "../../api/moment";
import { namesIn } from "../../policy/decide";
import { type Loaded, KINDS, viewOf } from "../../policy/firewall";
import { loadSecurity } from "../../policy/load";
import { type Belonging, commonPolicies, deciderOf, type Ground, referred, type TagGround } from "./allow";
import { bodyOf, type Edge, mapOf, type Row, type Service, type Side } from "./flows";

const RECORDS_COUNT = 20;
export const TAG_COLUMNS = ["application", "tier", "deployment", "site", "labels", "custom_tags"] as const;

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
    refetchInterval: againUnlessFailed,
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
          "drop_reason", "security_policy_rule", "vrouter", ...TAG_COLUMNS, ...TAG_COLUMNS.map((name) => `remote_${name}`),
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
    enabled: uuid !== "" && deciderOf(uuid) === null,
    staleTime: 30_000,
    retry: false,
  });
}

async function named(type: string, name: string): Promise<Found> {
  const uuid = await uuidOf(type, name.split(":"));
  if (uuid === undefined) throw new Error(`There is no ${type} ${name} any more, or you may not see it.`);
  return read(type, uuid);
}

/** What decides about a flow from a port (empty: none is known) to another; asked anew for each rule that is written. */
export function useGround(networks: readonly [string, string], ports: readonly [string, string], isAsked: boolean) {
  const [client, server] = networks;
  return useQuery({
    queryKey: ["flow-ground", client, server, ...ports],
    queryFn: async ({ signal }): Promise<Ground> => {
      const [from, to] = await Promise.all([named("virtual-network", client), named("virtual-network", server)]);
      const [near, far] = await Promise.all(ports.map((port) => (port === "" ? undefined : named("virtual-machine-interface", port))));
      const [clientGroups, groups] = await Promise.all([near, far].map(groupsOf));
      return {
        client: from,
        server: to,
        policies: await Promise.all(commonPolicies(from, to).map((name) => named("network-policy", name))),
        groups: groups ?? [],
        clientGroups: clientGroups ?? [],
        tags: await tagGround(await belongingOf(near, from), await belongingOf(far, to), signal),
      };
    },
    enabled: isAsked,
    gcTime: 0,
    staleTime: Infinity,
    retry: false,
  });
}

async function groupsOf(port: Found | undefined): Promise<readonly Found[]> {
  return Promise.all(referred(port?.object["security_group_refs"]).map((name) => named("security-group", name)));
}

/** Where a port belongs: what may give it tags, as far as one may see it. */
async function belongingOf(port: Found | undefined, network: Found): Promise<Belonging> {
  const project = (port ?? network).object.fq_name.slice(0, -1).join(":");
  const machines = referred(port?.object["virtual_machine_refs"]).map((name) => ["virtual-machine", name] as const);
  const others = await Promise.allSettled([...machines, ["project", project] as const].map(([type, name]) => named(type, name)));
  const seen = others.map((each) => (each.status === "fulfilled" ? each.value : undefined));
  const holders = [port, ...seen.slice(0, -1), network, seen.at(-1)];
  return { project, holders: port === undefined ? [] : holders.map((each) => namesIn(each?.object["tag_refs"])) };
}

/** Everything about tag-based policy of two projects, drafts laid over: what a rule is written into. */
async function tagGround(client: Belonging, server: Belonging, signal: AbortSignal): Promise<TagGround> {
  const projects = [...new Set([client.project, server.project])];
  const found = await Promise.all(projects.map((each) => loadSecurity(each.split(":"), signal)));
  const loaded = Object.fromEntries(KINDS.map((kind) => {
    const all = found.flatMap((each) => each.loaded[kind]);
    return [kind, [...new Map(all.map((each) => [each.uuid, each])).values()]];
  })) as unknown as Loaded;
  const applied = new Map(projects.map((each, index) => [each, namesIn(found[index]?.holder?.["application_policy_set_refs"])]));
  const drafting = projects.filter((_each, index) => found[index]?.isDrafting);
  return { policy: viewOf(loaded).planned, applied, client, server, drafting };
}

/** The port that has an address in a network, by name; empty when none has. */
export function usePortOf(network: string, address: string) {
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
    retry: false,
  });
}
