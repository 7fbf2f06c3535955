/** What an empty list of a type teaches: what such objects are for, and what one needs first. */

export interface Lesson {
  readonly text: string;
  /** A page where one begins better than with a form. */
  readonly page?: { readonly to: string; readonly title: string };
}

export const LESSONS: Readonly<Record<string, Lesson>> = {
  "virtual-network": { text: "A network is where ports get their addresses. It needs a name and a subnet; what it reaches, network policies and routers say.", page: { to: "/guide", title: "Build an example" } },
  "virtual-machine-interface": { text: "A port is where a workload is plugged. It needs a network; with an instance IP it has an address, with a security group only what that lets in.", page: { to: "/ports", title: "Make one with its address" } },
  "instance-ip": { text: "An instance IP is the address of a port: it names the network and the port, and the server chooses the address unless you do." },
  "network-policy": { text: "Networks reach each other by the rules of a policy that both refer to. The first rule that fits decides." },
  "security-group": { text: "A security group says what may enter and leave its ports, by prefix or by another group. Answers need no rule." },
  "application-policy-set": { text: "A set says which workloads may talk to which by their tags. It is written as a matrix.", page: { to: "/security", title: "Open the matrix" } },
  "logical-router": { text: "A router joins networks without a policy: refer to its interfaces, ports of these networks. With an external network it leads out, translating addresses." },
  "floating-ip-pool": { text: "A pool lies below a network whose addresses are given to ports of other networks. Projects that refer to it may take from it." },
  "floating-ip": { text: "A floating IP is an address of a pool that stands for a port of another network. Make a pool below a network first, then choose the port here; without an address the server takes a free one." },
  "network-ipam": { text: "An IPAM says how addresses and names are told to workloads: DHCP options, DNS. Networks refer to it with their subnets." },
  "service-template": { text: "A template says how a service works: routing, translating or transparent. The designer makes it with the service.", page: { to: "/chains", title: "Open the designer" } },
  "service-instance": { text: "A service stands between networks: a firewall, inspection, translation. It is made where it is used, in a chain.", page: { to: "/chains", title: "Open the designer" } },
  "service-health-check": { text: "A health check asks workloads or services whether they answer, and takes their routes away when they do not. Ports and services refer to it, or it to services." },
  "routing-policy": { text: "A routing policy changes or refuses routes of the networks that refer to it, term by term." },
  "route-table": { text: "A route table has static routes for the networks that refer to it: a prefix, and the address or service it goes by." },
  "interface-route-table": { text: "Prefixes that live behind the ports that refer to the table, such as those of a router in a workload." },
  "bgp-router": { text: "A BGP router is a control node, or a router that it talks to. Those of the own AS are meshed by themselves, others are joined as peers." },
  "bgp-as-a-service": { text: "A workload announces its own routes by BGP to its gateway: choose its port and its AS." },
  "virtual-router": { text: "A vRouter is the forwarding of one host. Its object places machines there and gives the host tags." },
  "virtual-DNS": { text: "A name server of a domain: IPAMs refer to it, and their workloads are found by name. Other records are added on its page." },
  tag: { text: "A tag says what a workload is, such as tier=web. Give it to ports, machines, networks or projects; application policies match it.", page: { to: "/security", title: "Application policy" } },
  "qos-config": { text: "A QoS configuration gives packets of ports or networks a forwarding class by their marks. Make forwarding classes first: each has marks and a queue." },
  "api-access-list": { text: "An access list says which roles may create, read, update or delete which types, for everybody, a domain or a project." },
};
