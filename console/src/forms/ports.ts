/** Tables of ports: further addresses, merged flows, what DHCP offers. Pure. */

import { at, type ListSpec, number, prefix, text } from "./columns";
import { prefixFault } from "./subnets";
import { numberOf as addressNumber } from "../model/prefix";
import type { Document } from "../model/document";

export function macFault(given: string): string {
  return given === "" || /^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(given) ? "" : "a MAC such as 02:00:5e:10:00:01";
}

/** Where one workload answers at a time, hosts look which of the addresses answers: not in a wide prefix. */
function modeFault(mode: string, pair: Document): string {
  const length = Number(at(pair, ["ip", "ip_prefix_len"]) ?? Number.NaN);
  const least = String(at(pair, ["ip", "ip_prefix"]) ?? "").includes(":") ? 120 : 24;
  return mode === "active-standby" && length < least ? `one at a time: a prefix of /${least} or longer` : "";
}

export const PAIRS: ListSpec = {
  title: "Further addresses", element: "pair", wrapper: "allowed_address_pair", fresh: { address_mode: "active-active" },
  none: "No further addresses: the workload sends from its own only. Several workloads that share one, by VRRP or at once, each name it here.",
  columns: [
    prefix("Address or prefix", "ip", 230, { hint: "10.0.0.100/32" }),
    text("MAC", "mac", 180, { hint: "the port's own", fault: macFault }),
    text("Who has it", "address_mode", 160, { choices: ["active-active", "active-standby"], isClosed: true, fault: modeFault }),
  ],
};

const optionalPrefix = (given: string) => (given === "" ? "" : prefixFault(given));

function portFault(given: string): string {
  return given === "" || (/^\d{1,5}$/.test(given) && Number(given) < 65_536) ? "" : "0 (all) to 65535";
}

export const FAT_FLOWS: ListSpec = {
  title: "Merged flows", element: "rule", wrapper: "fat_flow_protocol", fresh: { protocol: "tcp", port: 0, ignore_address: "none" },
  none: "No merged flows beside those of the network: each connection has a flow of its own.",
  columns: [
    text("Protocol", "protocol", 130, { choices: ["tcp", "udp", "sctp", "icmp"], fault: (given) => (given === "" ? "which protocol?" : "") }),
    number("Port", "port", 100, { hint: "all", fault: portFault }),
    text("Not told apart by", "ignore_address", 160, { choices: ["none", "source", "destination"], isClosed: true }),
  ],
  more: [{
    title: "For connections",
    columns: [
      prefix("From", "source_prefix", 200, { hint: "anywhere", fault: optionalPrefix }), number("Merged by the first bits of the source", "source_aggregate_prefix_length", 110, { hint: "none" }),
      prefix("To", "destination_prefix", 200, { hint: "anywhere", fault: optionalPrefix }), number("Merged by the first bits of the destination", "destination_aggregate_prefix_length", 110, { hint: "none" }),
    ],
  }],
};

export const HOST_ROUTES: ListSpec = {
  title: "Routes offered by DHCP", element: "route", wrapper: "route", fresh: { prefix: "" },
  none: "No routes beside those of the subnet.",
  columns: [
    text("Prefix", "prefix", 220, { hint: "10.0.0.0/8", fault: prefixFault }),
    text("Next hop", "next_hop", 220, { hint: "the gateway", fault: (given) => (given === "" || addressNumber(given) !== undefined ? "" : "an address such as 10.0.0.5") }),
  ],
};

export const DHCP_OPTIONS: ListSpec = {
  title: "DHCP options", element: "option", wrapper: "dhcp_option", fresh: {},
  none: "No options beside those of the subnet and the IPAM.",
  columns: [
    text("Option", "dhcp_option_name", 230, { hint: "ntp-servers, or a number", fault: (given) => (given === "" ? "a name or a number" : "") }),
    text("Value", "dhcp_option_value", 320, { hint: "192.0.2.1" }),
    text("Value as bytes", "dhcp_option_value_bytes", 200, { hint: "none" }),
  ],
};
