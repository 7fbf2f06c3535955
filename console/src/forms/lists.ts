/** Members that are edited as tables, by type and member. Pure. */

import { type ListColumn, type ListSpec, number, prefix, split, text } from "./columns";
import { DHCP_OPTIONS, FAT_FLOWS, HOST_ROUTES, PAIRS } from "./ports";
import { AGGREGATES, INTERFACE_ROUTES, NETWORK_POLICIES, ROUTES, ROUTING_POLICIES, SERVICE_POLICIES, SIDES, TERMS } from "./routing";
import { serviceOf, serviceText, USUAL_SERVICES } from "./services";
import { type Document, isDocument, isList, type Json } from "../model/document";

/** `member CRUD, reader R` */
export function rolesText(perms: Json | undefined): string {
  return (isList(perms) ? perms.filter(isDocument) : []).map((each) => `${String(each["role_name"] ?? "")} ${String(each["role_crud"] ?? "")}`.trim()).join(", ");
}

export function rolesOf(given: string): Document[] {
  return split(given).map((each): Document => {
    const [role_name = "", role_crud = ""] = each.split(/\s+/);
    return { role_name, role_crud };
  });
}

function rolesFault(given: string): string {
  if (rolesOf(given).length === 0) return "which role, and what it may do: member CRUD";
  const wrong = rolesOf(given).find((each) => !/^[CRUD]+$/.test(String(each["role_crud"])));
  return wrong === undefined ? "" : `${String(wrong["role_name"])}: letters of C, R, U, D are needed behind a role`;
}

const SERVICE_COLUMN: ListColumn = {
  title: "Service", width: 300, choices: USUAL_SERVICES, hint: "tcp 80-90",
  show: (each) => (typeof each["protocol"] === "string" && each["dst_ports"] === undefined && /\s/.test(each["protocol"]) ? each["protocol"] : serviceText(each)),
  put: (_, given) => serviceOf(given) ?? { protocol: given },
  fault: (given) => (serviceOf(given) === undefined ? "a service such as any, icmp, tcp 80 or udp 53 from 1024-65535" : ""),
};

function marks(title: string, what: string): ListSpec {
  return {
    title, element: "mark", wrapper: "qos_id_forwarding_class_pair", fresh: {},
    none: `No entries: every ${what} gets the default forwarding class.`,
    columns: [number(what, "key", 160), number("Forwarding class", "forwarding_class_id", 160)],
  };
}

/** By type and member. */
export const LISTS: Readonly<Record<string, ListSpec>> = {
  "service-group service_group_firewall_service_list": {
    title: "Services", element: "service", wrapper: "firewall_service", fresh: { protocol: "" },
    none: "No services yet. Name each as one says it: tcp 80, udp 5000-5100, icmp.", columns: [SERVICE_COLUMN],
  },
  "address-group address_group_prefix": {
    title: "Prefixes", element: "prefix", wrapper: "subnet", fresh: { ip_prefix: "" },
    none: "No prefixes yet. A group without any means nobody.", columns: [prefix("Prefix", "", 220, { hint: "192.0.2.0/24" })],
  },
  "route-table routes": ROUTES,
  "interface-route-table interface_route_table_routes": INTERFACE_ROUTES,
  "interface-route-table service_instance_refs": SIDES,
  "routing-policy routing_policy_entries": TERMS,
  "routing-policy service_instance_refs": SERVICE_POLICIES,
  "virtual-network routing_policy_refs": ROUTING_POLICIES,
  "virtual-network network_policy_refs": NETWORK_POLICIES,
  "route-aggregate service_instance_refs": AGGREGATES,
  "floating-ip floating_ip_port_mappings": {
    title: "Port mappings", element: "mapping", wrapper: "port_mappings", fresh: { protocol: "TCP" },
    none: "No mappings: with port mappings on, nothing comes in. Without them the address belongs to its port as a whole.",
    columns: [text("Protocol", "protocol", 110, { choices: ["TCP", "UDP"] }), number("Port outside", "src_port", 130), number("Port of the workload", "dst_port", 160)],
  },
  "virtual-machine-interface virtual_machine_interface_allowed_address_pairs": PAIRS,
  "virtual-machine-interface virtual_machine_interface_fat_flow_protocols": FAT_FLOWS,
  "virtual-machine-interface virtual_machine_interface_host_routes": HOST_ROUTES,
  "virtual-machine-interface virtual_machine_interface_dhcp_option_list": DHCP_OPTIONS,
  "virtual-network virtual_network_fat_flow_protocols": { ...FAT_FLOWS, none: "No merged flows: each connection of the network's ports has a flow of its own." },
  "api-access-list api_access_list_entries": {
    title: "Rules", element: "rule", wrapper: "rbac_rule", isOrdered: true, fresh: { rule_object: "*", rule_field: "", rule_perms: [{ role_name: "member", role_crud: "R" }] },
    none: "No rules: nobody but administrators may do anything by this list.",
    columns: [
      text("Object type", "rule_object", 230, { hint: "virtual-network, or * for all" }),
      { ...text("Field", "rule_field", 160, { hint: "all" }), put: (each, given) => ({ ...each, rule_field: given.trim() }) },
      { title: "Roles", width: 340, hint: "member CRUD, reader R", fault: rolesFault, show: (each) => rolesText(each["rule_perms"]), put: (each, given) => ({ ...each, rule_perms: rolesOf(given) }) },
    ],
  },
  "qos-config dscp_entries": marks("By DSCP", "DSCP"),
  "qos-config vlan_priority_entries": marks("By 802.1p priority", "802.1p"),
  "qos-config mpls_exp_entries": marks("By MPLS traffic class", "traffic class"),
};
