/** What people look for first of a port: its addresses, where it is, whose it is. */

import { useQuery } from "@tanstack/react-query";
import { Fragment } from "react";
import { Link } from "react-router";

import { list } from "../../api/client";
import { type ConfigObject, documentsOf, isDocument, lastName, textsOf } from "../../model/document";
import { ADDRESS_MEMBERS, type AddressType, heldOf, inOrder } from "./tabs/addresses";
import { Fact, ReferenceLink } from "./Values";

const MACS = "virtual_machine_interface_mac_addresses";
/** Members that are told here. */
export const PORT_MEMBERS: ReadonlySet<string> = new Set(["virtual_network_refs", "virtual_machine_refs", MACS]);
const LIMIT = 200;
const EXTRA: Readonly<Record<AddressType, readonly string[]>> = { "instance-ip": ["service_instance_ip", "instance_ip_secondary"], "floating-ip": ["floating_ip_fixed_ip_address"], "alias-ip": [] };
const KINDS: Readonly<Record<AddressType, string>> = { "instance-ip": "Addresses", "floating-ip": "Floating addresses", "alias-ip": "Alias addresses" };

export function PortFacts({ port }: { readonly port: ConfigObject }) {
  const macs = port[MACS];
  const [network] = documentsOf(port["virtual_network_refs"]);
  const machines = documentsOf(port["virtual_machine_refs"]);
  return (
    <>
      <Addresses type="instance-ip" port={port.uuid} />
      <Addresses type="floating-ip" port={port.uuid} />
      <Addresses type="alias-ip" port={port.uuid} />
      {network !== undefined && (
        <Fact title="Network"><ReferenceLink target="virtual-network" to={textsOf(network["to"])} uuid={String(network["uuid"] ?? "")} /></Fact>
      )}
      {machines.map((each) => (
        <Fragment key={String(each["uuid"])}>
          <Fact title="Machine"><ReferenceLink target="virtual-machine" to={textsOf(each["to"])} uuid={String(each["uuid"] ?? "")} /></Fact>
          <Host machine={String(each["uuid"] ?? "")} />
        </Fragment>
      ))}
      {isDocument(macs) && <Fact title="MAC"><span className="mono">{textsOf(macs["mac_address"]).join(", ")}</span></Fact>}
    </>
  );
}

/** Addresses of its own are always told of, also that there are none; others where there are some. */
function Addresses({ type, port }: { readonly type: AddressType; readonly port: string }) {
  const found = useQuery({
    queryKey: ["list", type, "of port", port],
    queryFn: ({ signal }) => list(type, { filter: [`virtual_machine_interface_refs:eq:${port}`], fields: [ADDRESS_MEMBERS[type], "virtual_machine_interface_refs", ...EXTRA[type]], limit: LIMIT }, signal),
    retry: false,
  });
  const objects = new Map((found.data?.items ?? []).map((each) => [each.uuid, each]));
  const held = inOrder([...objects.values()].map((each) => heldOf(type, each)));
  if (found.isError) return <Fact title={KINDS[type]}><span className="form-fault">{found.error.message}</span></Fact>;
  if (held.length === 0) return type === "instance-ip" && found.data !== undefined ? <Fact title={KINDS[type]}>none</Fact> : null;
  return (
    <Fact title={KINDS[type]}>
      {held.map(({ uuid, address, kind, ports }) => {
        const inside = objects.get(uuid)?.["floating_ip_fixed_ip_address"];
        const notes = [...(type === "instance-ip" && kind !== "of a port" ? [kind] : []), ...(typeof inside === "string" && inside !== "" ? [`leads to ${inside}`] : []), ...(ports.length > 1 ? [`shared by ${ports.length} ports`] : [])];
        return <div key={uuid}><Link to={`/o/${type}/${uuid}`} className="mono">{address}</Link> <span className="form-note">{notes.join(", ")}</span></div>;
      })}
      {(found.data?.count ?? 0) > LIMIT && <Link to={`/o/${type}?q=${encodeURIComponent(`virtual_machine_interface_refs:eq:${port}`)}`}>All {found.data?.count.toLocaleString("en")}</Link>}
    </Fact>
  );
}

/** Members of projects do not see hosts: nothing is said then. */
function Host({ machine }: { readonly machine: string }) {
  const found = useQuery({
    queryKey: ["list", "virtual-router", "of machine", machine],
    queryFn: ({ signal }) => list("virtual-router", { filter: [`virtual_machine_refs:eq:${machine}`], fields: ["virtual_router_ip_address"], limit: 1 }, signal),
    enabled: machine !== "",
    retry: false,
  });
  const [host] = found.data?.items ?? [];
  if (host === undefined) return null;
  return <Fact title="Host"><Link to={`/o/virtual-router/${host.uuid}`}>{lastName(host.fq_name)}</Link> <span className="form-note">{String(host["virtual_router_ip_address"] ?? "")}</span></Fact>;
}
