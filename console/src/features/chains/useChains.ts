/** What chains of a project are made of. */

import { useQuery } from "@tanstack/react-query";

import { list } from "../../api/client";
import type { ConfigObject } from "../../model/document";
import type { Objects } from "./chain";

const LIMIT = 10_000;

async function all(type: string, fields: readonly string[], signal: AbortSignal, narrowed: { parent?: string; filter?: readonly string[] } = {}): Promise<readonly ConfigObject[]> {
  return (await list(type, { ...narrowed, fields: [...fields, "etag"], sort: "fq_name", limit: LIMIT }, signal)).items;
}

export function useChains(project: readonly string[]) {
  const parent = project.join(":");
  return useQuery({
    queryKey: ["list", "network-policy", "chains", parent],
    queryFn: async ({ signal }): Promise<Objects> => {
      const [instances, templates, tuples, ports, checks, policies, networks, groups] = await Promise.all([
        all("service-instance", ["service_template_refs", "service_instance_properties"], signal, { parent }),
        all("service-template", ["service_template_properties"], signal),
        all("port-tuple", [], signal),
        all("virtual-machine-interface", ["port_tuple_refs", "virtual_machine_interface_properties", "security_group_refs"], signal, { parent, filter: ["port_tuple_refs:exists"] }),
        all("service-health-check", ["service_instance_refs"], signal, { parent }),
        all("network-policy", ["network_policy_entries"], signal, { parent }),
        all("virtual-network", ["network_policy_refs", "network_ipam_refs"], signal, { parent }),
        all("security-group", [], signal, { parent }),
      ]);
      return { instances, templates, tuples, ports, checks, policies, networks, groups };
    },
    enabled: project.length > 0,
    retry: false,
  });
}
