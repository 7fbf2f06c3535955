/** What processes say of control nodes, hosts, peers, networks with their traffic. */

import { Alert, Table, Tabs } from "antd";
import { Link, useSearchParams } from "react-router";

import { fieldTitle } from "../../model/catalog";
import { isDocument, isList, type Json } from "../../model/document";
import { bytesText } from "../../model/units";
import { LiveMark } from "./LiveMark";
import { AGENT, CONTROL, placeOf } from "./processes";
import { absence, at, type Uve, useUves } from "./uves";

interface Shown {
  readonly title: string;
  readonly path: string;
  readonly unit?: "bytes";
}

interface View {
  readonly type: string;
  readonly title: string;
  readonly columns: readonly Shown[];
}

const VIEWS: readonly View[] = [
  {
    type: "control-node",
    title: "Control nodes",
    columns: [
      { title: "Agents up", path: "BgpRouterState.num_up_xmpp_peer" },
      { title: "Agents", path: "BgpRouterState.num_xmpp_peer" },
      { title: "BGP peers up", path: "BgpRouterState.num_up_bgp_peer" },
      { title: "BGP peers", path: "BgpRouterState.num_bgp_peer" },
      { title: "Routing instances", path: "BgpRouterState.num_routing_instance" },
      { title: "Revision", path: "BgpRouterState.config_revision" },
    ],
  },
  {
    type: "vrouter",
    title: "vRouters",
    columns: [
      { title: "Address", path: "VrouterAgent.control_ip" },
      { title: "Ports", path: "VrouterAgent.total_interface_count" },
      { title: "Down", path: "VrouterAgent.down_interface_count" },
      { title: "Networks", path: "VrouterAgent.vn_count" },
      { title: "In", path: "VrouterStatsAgent.in_bytes", unit: "bytes" },
      { title: "Out", path: "VrouterStatsAgent.out_bytes", unit: "bytes" },
      { title: "Drops by reason", path: "VrouterStatsAgent.drop_stats" },
    ],
  },
  {
    type: "bgp-peer",
    title: "BGP peers",
    columns: [
      { title: "Address", path: "BgpPeerInfoData.peer_address" },
      { title: "AS", path: "BgpPeerInfoData.peer_asn" },
      { title: "State", path: "BgpPeerInfoData.state_info.state" },
      { title: "Routes", path: "BgpPeerInfoData.routes" },
      { title: "Families", path: "BgpPeerInfoData.families" },
      { title: "Flaps", path: "BgpPeerInfoData.flap_info.flap_count" },
      { title: "Last down", path: "BgpPeerInfoData.last_down_reason" },
    ],
  },
  {
    type: "xmpp-peer",
    title: "Agents' sessions",
    columns: [
      { title: "Host", path: "XmppPeerInfoData.identifier" },
      { title: "State", path: "XmppPeerInfoData.state_info.state" },
      { title: "Routes", path: "XmppPeerInfoData.routes" },
      { title: "Sessions so far", path: "XmppPeerInfoData.sessions" },
      { title: "Last down", path: "XmppPeerInfoData.close_reason" },
    ],
  },
  {
    type: "virtual-network",
    title: "Networks",
    columns: [
      { title: "Ports", path: "UveVirtualNetworkAgent.interface_list" },
      { title: "In", path: "UveVirtualNetworkAgent.in_bytes", unit: "bytes" },
      { title: "Out", path: "UveVirtualNetworkAgent.out_bytes", unit: "bytes" },
    ],
  },
  {
    type: "virtual-machine-interface",
    title: "Ports",
    columns: [
      { title: "Host", path: "UveVMInterfaceAgent.vrouter" },
      { title: "Network", path: "UveVMInterfaceAgent.virtual_network" },
      { title: "Address", path: "UveVMInterfaceAgent.ip_address" },
      { title: "MAC", path: "UveVMInterfaceAgent.mac_address" },
      { title: "Forwards", path: "UveVMInterfaceAgent.active" },
    ],
  },
];

const FIRST = "control-node";

/** Of these a process shows all that it holds. */
const HOLDERS: Readonly<Record<string, string>> = { "control-node": CONTROL, vrouter: AGENT };

export function MonitorPage() {
  const [search, setSearch] = useSearchParams();
  const views = VIEWS.map((view) => ({ key: view.type, label: view.title, children: <UveTable view={view} /> }));
  return (
    <div className="page">
      <div className="page-head">
        <h1>Monitor</h1>
        <LiveMark />
        <span className="form-note">What processes say of themselves and of what they have to do with: they look every ten seconds</span>
      </div>
      <Tabs
        destroyOnHidden
        activeKey={search.get("view") ?? FIRST}
        onChange={(view) => setSearch(view === FIRST ? {} : { view }, { replace: true })}
        items={views}
      />
    </div>
  );
}

function UveTable({ view }: { readonly view: View }) {
  const found = useUves(view.type);
  const holder = HOLDERS[view.type];
  if (found.isError) return <Alert type="info" showIcon title={absence(found.error)} />;
  return (
    <Table
      size="small"
      rowKey="name"
      loading={found.isLoading}
      dataSource={found.data ?? []}
      pagination={(found.data?.length ?? 0) > 50 ? { pageSize: 50 } : false}
      locale={{ emptyText: "Nobody has told of any" }}
      columns={[
        { title: "Name", dataIndex: "name", sorter: (one: Uve, other: Uve) => one.name.localeCompare(other.name), render: (name: string) => (holder === undefined ? name : <Link to={placeOf(name, holder)}>{name}</Link>) },
        ...view.columns.map(({ title, path, unit }) => ({
          title,
          key: path,
          align: isNumeric(found.data ?? [], path) ? ("right" as const) : ("left" as const),
          render: (uve: Uve) => shown(at(uve.value, path), unit),
        })),
      ]}
    />
  );
}

/** Numbers are compared by their last digits. */
function isNumeric(uves: readonly Uve[], path: string): boolean {
  const values = uves.map(({ value }) => at(value, path)).filter((value) => value !== undefined && value !== null);
  return values.length > 0 && values.every((value) => typeof value === "number");
}

/** Values on which several tellers differ come as a list of pairs: the first stands for them. */
function shown(value: Json | undefined, unit?: "bytes"): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (unit === "bytes" && typeof value === "number") return bytesText(value);
  if (isList(value)) {
    const [first] = value;
    if (isList(first)) return shown(first[0], unit);
    return value.length > 4 ? String(value.length) : value.map((each) => shown(each)).join(", ");
  }
  if (!isDocument(value)) return String(value);
  const counted = Object.entries(value).filter(([, count]) => count !== 0);
  return counted.map(([name, count]) => `${fieldTitle(name)} ${String(count)}`).join(", ");
}
