/** Routers of a project with their ports and route tables, and the addresses by which their networks leave. */

import { useQuery } from "@tanstack/react-query";

import { list } from "../../api/client";
import { type ConfigObject, isDocument, isList } from "../../model/document";
import { type Objects, SNAT_NAME, waysOut } from "./router";

const LIMIT = 1000;
/** Uuids that an address holds. */
const AT_ONCE = 100;
export const UNDERLAY = "default-domain:default-project:ip-fabric";

async function all(type: string, fields: readonly string[], signal: AbortSignal, narrowed: { parent?: string; filter?: readonly string[] }): Promise<readonly ConfigObject[]> {
  return (await list(type, { ...narrowed, fields, sort: "fq_name", limit: LIMIT }, signal)).items;
}

async function portsOf(routers: readonly ConfigObject[], signal: AbortSignal): Promise<Map<string, ConfigObject>> {
  const uuids = routers.flatMap((each) => (isList(each["virtual_machine_interface_refs"]) ? each["virtual_machine_interface_refs"].filter(isDocument) : []).map((port) => String(port["uuid"])));
  const pages = await Promise.all(Array.from({ length: Math.ceil(uuids.length / AT_ONCE) }, (_, index) =>
    all("virtual-machine-interface", ["virtual_network_refs", "virtual_machine_interface_device_owner"], signal, { filter: [`uuid:in:${uuids.slice(index * AT_ONCE, (index + 1) * AT_ONCE).join(",")}`] })));
  return new Map(pages.flat().map((port) => [port.uuid, port]));
}

export function useRouters(project: readonly string[]) {
  const parent = project.join(":");
  return useQuery({
    queryKey: ["list", "logical-router", "of", parent],
    queryFn: async ({ signal }): Promise<Objects> => {
      const [routers, tables] = await Promise.all([
        all("logical-router", ["virtual_machine_interface_refs", "virtual_network_refs", "route_table_refs", "logical_router_type", "etag"], signal, { parent }),
        all("route-table", ["routes"], signal, { parent }),
      ]);
      return { routers, tables, ports: await portsOf(routers, signal) };
    },
    enabled: project.length > 0,
    retry: false,
  });
}

function names(objects: readonly ConfigObject[]): string[] {
  return objects.map((each) => each.fq_name.join(":"));
}

/** Networks of the project, and those that lead out, by full name. */
export function useNetworks(project: readonly string[]) {
  const parent = project.join(":");
  return useQuery({
    queryKey: ["list", "virtual-network", "to join", parent],
    queryFn: async ({ signal }) => {
      const [own, outside] = await Promise.all([
        all("virtual-network", [], signal, { parent }),
        all("virtual-network", [], signal, { filter: ["router_external:eq:true"] }),
      ]);
      return { own: names(own), outside: [...names(outside), UNDERLAY] };
    },
    retry: false,
  });
}

/** By which addresses workloads leave for a network, with the names of hosts that the user may see. */
export function useWaysOut(network: string) {
  return useQuery({
    queryKey: ["list", "instance-ip", "ways out", network],
    queryFn: async ({ signal }) => {
      const addresses = await all("instance-ip", ["instance_ip_address"], signal, { filter: [`virtual_network_refs:eq:${network}`, `name:prefix:${SNAT_NAME}`] });
      const ways = waysOut(addresses);
      const hosts = ways.length === 0 ? [] : await all("virtual-router", [], signal, {});
      const hostNames = new Map(hosts.map((each) => [each.uuid, each.fq_name.at(-1) ?? ""]));
      return ways.map((each) => ({ ...each, hostName: hostNames.get(each.host) ?? "" }));
    },
    enabled: network !== "" && network !== UNDERLAY,
    retry: false,
  });
}
