/** Floating addresses of a project, pools to take more from, ports to lead them to. */

import { useQuery } from "@tanstack/react-query";

import { list, type Page } from "../../api/client";

const LIMIT = 2000;

export interface Objects {
  readonly addresses: Page;
  readonly pools: Page;
  readonly ports: Page;
}

export function useFloating(project: readonly string[]) {
  const parent = project.join(":");
  return useQuery({
    queryKey: ["list", "floating-ip", "of", parent],
    queryFn: async ({ signal }): Promise<Objects> => {
      const fields = ["floating_ip_address", "virtual_machine_interface_refs", "floating_ip_fixed_ip_address", "floating_ip_traffic_direction", "floating_ip_port_mappings_enable", "floating_ip_port_mappings", "etag"];
      const [addresses, pools, ports] = await Promise.all([
        list("floating-ip", { filter: [`project_refs:eq:${parent}`], fields, sort: "fq_name", limit: LIMIT }, signal),
        list("floating-ip-pool", { fields: [], sort: "fq_name", limit: LIMIT }, signal),
        list("virtual-machine-interface", { parent, fields: [], sort: "fq_name", limit: LIMIT }, signal),
      ]);
      return { addresses, pools, ports };
    },
    enabled: project.length > 0,
    retry: false,
  });
}

/** Addresses that a port has itself: one of them is what a floating address stands for. */
export function useOwnAddresses(port: string) {
  return useQuery({
    queryKey: ["list", "instance-ip", "of port", port],
    queryFn: async ({ signal }) => {
      const { items } = await list("instance-ip", { filter: [`virtual_machine_interface_refs:eq:${port}`], fields: ["instance_ip_address"], limit: LIMIT }, signal);
      return items.map((each) => String(each["instance_ip_address"] ?? "")).filter(Boolean);
    },
    enabled: port !== "",
    retry: false,
  });
}
