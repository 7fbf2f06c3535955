/** Ports of a project with their addresses; what of the project they may refer to. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";

import { list } from "../../api/client";
import { type ConfigObject, documentsOf } from "../../model/document";
import { FIELDS } from "./ports";

/** Addresses are asked for by the ports' uuids, which an address of a page holds about so many of. */
const SHOWN_PORTS = 100;
const LIMIT = 1000;

export interface Ports {
  readonly ports: readonly ConfigObject[];
  readonly count: number;
  /** By the port's uuid. */
  readonly addresses: ReadonlyMap<string, readonly ConfigObject[]>;
}

async function addressesOf(ports: readonly ConfigObject[], signal: AbortSignal): Promise<Map<string, ConfigObject[]>> {
  const found = new Map<string, ConfigObject[]>();
  if (ports.length === 0) return found;
  const filter = [`virtual_machine_interface_refs:in:${ports.map((each) => each.uuid).join(",")}`];
  const { items } = await list("instance-ip", { filter, fields: ["instance_ip_address", "virtual_machine_interface_refs"], sort: "instance_ip_address", limit: LIMIT }, signal);
  for (const address of items) {
    for (const { uuid } of documentsOf(address["virtual_machine_interface_refs"])) found.set(String(uuid), [...(found.get(String(uuid)) ?? []), address]);
  }
  return found;
}

/** `words` are looked for in names, by the server. */
export function usePorts(project: readonly string[], words: string) {
  const parent = project.join(":");
  return useQuery({
    queryKey: ["list", "virtual-machine-interface", "of", parent, words],
    queryFn: async ({ signal }): Promise<Ports> => {
      const filter = words === "" ? [] : [`name:contains:${words}`];
      const { items, count } = await list("virtual-machine-interface", { parent, filter, fields: FIELDS, sort: "fq_name", limit: SHOWN_PORTS }, signal);
      return { ports: items, count, addresses: await addressesOf(items, signal) };
    },
    enabled: project.length > 0,
    placeholderData: keepPreviousData,
    retry: false,
  });
}

export interface Choices {
  readonly groups: readonly string[];
  readonly tables: readonly string[];
  readonly qos: readonly string[];
  readonly analyzers: readonly string[];
}

/** Full names of what a port of the project may refer to. */
export function useChoices(project: readonly string[]) {
  const parent = project.join(":");
  return useQuery({
    queryKey: ["list", "security-group", "for ports", parent],
    queryFn: async ({ signal }): Promise<Choices> => {
      const named = async (type: string, own: boolean) =>
        (await list(type, { ...(own ? { parent } : {}), fields: [], sort: "fq_name", limit: LIMIT }, signal)).items.map((each) => each.fq_name.join(":"));
      const [groups, tables, qos, analyzers] = await Promise.all([named("security-group", true), named("interface-route-table", true), named("qos-config", false), named("service-instance", true)]);
      return { groups, tables, qos, analyzers };
    },
    retry: false,
  });
}
