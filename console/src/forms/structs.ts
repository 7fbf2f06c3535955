/** Members that are structures, as groups of cells, by type and member. Pure. */

import { either, number, type StructSpec, text, texts } from "./columns";
import { FAMILIES } from "./peers";
import { isEmpty } from "../model/document";
import { numberOf as addressNumber } from "../model/prefix";

const LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?";
const ZONE = new RegExp(`^(${LABEL}\\.)*${LABEL}\\.?$`, "i");

function zoneFault(given: string): string {
  return given.length < 254 && ZONE.test(given) ? "" : "a name such as example.net";
}

/** A virtual DNS server as domain:name, or addresses of others. */
function nextFault(given: string): string {
  const isName = /^[^:\s]+:[^:\s]+$/.test(given);
  return given === "" || isName || addressNumber(given) !== undefined ? "" : "a virtual DNS server as domain:name, or an address";
}

function within(low: number, high: number) {
  return (given: string) => (given === "" || (/^\d{1,10}$/.test(given) && Number(given) >= low && Number(given) <= high) ? "" : `${low} to ${high}`);
}

const optionalAddress = (given: string) => (given === "" || addressNumber(given) !== undefined ? "" : "an address such as 192.0.2.1");

const DNS_SERVER: StructSpec = {
  title: "Zone",
  groups: [
    {
      title: "What it answers for",
      columns: [
        text("Domain", "domain_name", 260, { hint: "example.net", fault: zoneFault }),
        text("Asked when it knows none", "next_virtual_DNS", 260, { hint: "nobody", fault: nextFault, offers: () => "virtual-DNS" }),
        text("Order of several answers", "record_order", 190, { choices: ["fixed", "random", "round-robin"], isClosed: true, hint: "random" }),
        number("Seconds an answer may be kept", "default_ttl_seconds", 200, { fault: within(0, 0x7fff_ffff) }),
        number("Seconds that there is none", "soa_record.negative_cache_ttl_seconds", 200, { fault: within(0, 0x7fff_ffff) }),
      ],
    },
    {
      title: "Which names it has, and for whom",
      columns: [
        either("Names of workloads", "dynamic_records_from_client", 150, ["no", "yes"]),
        either("Names of addresses (reverse)", "reverse_resolution", 190, ["no", "yes"]),
        either("Asked from outside", "external_visible", 150, ["no", "yes"]),
        text("Floating addresses are called", "floating_ip_record", 240, { choices: ["dashed-ip", "dashed-ip-tenant-name", "vm-name", "vm-name-tenant-name"], isClosed: true, hint: "not at all" }),
      ],
    },
  ],
};

const ROLES = ["control-node", "external-control-node", "router", "bgpaas-server", "bgpaas-client"];

const BGP_ROUTER: StructSpec = {
  title: "BGP router",
  groups: [
    {
      title: "The router",
      columns: [
        number("AS number", "autonomous_system", 130, { fault: (given) => (given === "" ? "an AS number" : within(1, 0xffff_ffff)(given)) }),
        text("Address", "address", 190, { hint: "192.0.2.1", fault: optionalAddress }),
        number("Port", "port", 90, { hint: "179", fault: within(1, 65_535) }),
        text("Identifier", "identifier", 150, { hint: "the address", fault: (given) => (given === "" || (!given.includes(":") && addressNumber(given) !== undefined) ? "" : "an IPv4 address") }),
        text("Maker", "vendor", 130, { hint: "other" }),
        text("Role", "router_type", 170, { choices: ROLES, isClosed: true, hint: "router" }),
      ],
    },
    {
      title: "Its sessions",
      columns: [
        texts("Families", "address_families.family", 330, { choices: FAMILIES, isMany: true, hint: "all that both know" }),
        number("Hold time", "hold_time", 110, { hint: "90", fault: within(0, 65_535) }),
        number("AS number told to peers", "local_autonomous_system", 170, { hint: "its own", fault: within(1, 0xffff_ffff) }),
        number("Cluster", "cluster_id", 110, { hint: "none", fault: within(0, 0xffff_ffff) }),
        either("All closed", "admin_down", 100, ["no", "yes"]),
      ],
    },
  ],
  beside: (held) => [...(isEmpty(held["auth_data"]) ? [] : ["keys"]), ...(isEmpty(held["gateway_address"]) && isEmpty(held["ipv6_gateway_address"]) ? [] : ["gateways of workloads"])],
};

/** By type and member. */
export const STRUCTS: Readonly<Record<string, StructSpec>> = {
  "virtual-DNS virtual_DNS_data": DNS_SERVER,
  "bgp-router bgp_router_parameters": BGP_ROUTER,
};
