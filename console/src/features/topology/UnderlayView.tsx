/** The underlay: its picture, what is chosen in it, and the way of a flow through switches. */

import { CloseOutlined, NodeIndexOutlined } from "@ant-design/icons";
import { Alert, Button, Empty, Input, Spin } from "antd";
import { type FormEvent, useState } from "react";
import { Link } from "react-router";

import { bytesText } from "../../model/units";
import { absence } from "../monitor/uves";
import { useInterfaceRates, useRates, useUnderlay, useWay } from "./live";
import { FOUND_BY, type Way } from "./underlay";
import { rateOf, rateText, type Told, UnderlayPicture } from "./UnderlayPicture";

interface Props {
  readonly search: URLSearchParams;
  readonly say: (changes: Readonly<Record<string, string>>) => void;
}

export function UnderlayView({ search, say }: Props) {
  const { underlay, error, isLoading } = useUnderlay();
  const [hosts, interfaces] = [useRates("virtual-router"), useInterfaceRates()];
  const [source, destination] = [search.get("source") ?? "", search.get("destination") ?? ""];
  const way = useWay(source, destination);
  const told: Told = {
    underlay, hosts: hosts.data ?? new Map(), interfaces: interfaces.data ?? new Map(), way: way.data,
    selected: search.get("selected") ?? "", onSelect: (selected) => say({ selected }),
  };
  if (error !== null) return <Alert type="info" showIcon title={absence(error)} />;
  if (isLoading) return <Spin />;
  if (underlay.nodes.length === 0) return <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description="No host tells of itself yet." />;
  const hasSwitches = underlay.nodes.some((each) => each.kind === "switch");
  return (
    <>
      <WayForm source={source} destination={destination} onAsk={(from, to) => say({ source: from, destination: to })} />
      {way.isError && <Alert type="error" showIcon title={way.error.message} />}
      {way.data !== undefined && <WayFacts way={way.data} />}
      {underlay.leftOut > 0 && <Alert type="info" showIcon title={`${underlay.leftOut.toLocaleString("en")} more hosts are not shown.`} />}
      {!hasSwitches && <p className="form-note">No switch tells to whom it is cabled: hosts and their tunnels are shown.</p>}
      <div className="map">
        <UnderlayPicture {...told} />
        <Chosen told={told} onClose={() => say({ selected: "" })} />
      </div>
    </>
  );
}

interface WayFormProps {
  readonly source: string;
  readonly destination: string;
  readonly onAsk: (source: string, destination: string) => void;
}

function WayForm({ source, destination, onAsk }: WayFormProps) {
  const [from, setFrom] = useState(source);
  const [to, setTo] = useState(destination);
  const ask = (event: FormEvent) => {
    event.preventDefault();
    onAsk(from.trim(), to.trim());
  };
  return (
    <form className="strip" onSubmit={ask} aria-label="Way of a flow">
      <label htmlFor="way-from">Way of flows from</label>
      <Input id="way-from" value={from} style={{ width: 190 }} placeholder="address of a workload" onChange={(event) => setFrom(event.target.value)} />
      <label htmlFor="way-to">to</label>
      <Input id="way-to" value={to} style={{ width: 190 }} placeholder="address" onChange={(event) => setTo(event.target.value)} />
      <Button htmlType="submit" icon={<NodeIndexOutlined />} disabled={from.trim() === "" || to.trim() === ""}>Show</Button>
      {source !== "" && <Button onClick={() => { setFrom(""); setTo(""); onAsk("", ""); }}>Clear</Button>}
    </form>
  );
}

function WayFacts({ way }: { readonly way: Way }) {
  const seen = new Map(way.nodes.map((each) => [each.id, each.seen?.packets]));
  return (
    <p role="status">
      {FOUND_BY[way.found_by] ?? way.found_by} {way.path.length > 0 && !way.is_ordered && "How they are connected is not known. "}
      {way.path.map((name, index) => (
        <span key={name}>
          {index > 0 && (way.is_ordered ? " → " : ", ")}
          <strong>{name}</strong>
          {seen.get(name) !== undefined && ` (${seen.get(name)?.toLocaleString("en")} packets)`}
        </span>
      ))}
    </p>
  );
}

function Chosen({ told, onClose }: { readonly told: Told; readonly onClose: () => void }) {
  const { underlay, selected } = told;
  const node = underlay.nodes.find((each) => each.id === selected);
  const cable = underlay.cables.find((each) => each.key === selected);
  const tunnel = underlay.tunnels.find((each) => each.key === selected);
  if (node === undefined && cable === undefined && tunnel === undefined) return null;
  const addresses = (id: string) => underlay.nodes.find((each) => each.id === id)?.addresses ?? [];
  return (
    <aside className="map-side" aria-label="Chosen">
      <Button size="small" type="text" icon={<CloseOutlined />} aria-label="Close" style={{ float: "right" }} onClick={onClose} />
      {node !== undefined && (
        <>
          <h2>{node.id}</h2>
          <p className="mono">{node.addresses.join(", ")}</p>
          <p>{rateText(told.hosts.get(node.id))}</p>
          {!node.isWell && <Alert type="warning" showIcon title="One of its processes is not well." />}
          {node.kind === "host" && node.uuid !== "" && <p><Link to={`/o/virtual-router/${node.uuid}`}>Open the virtual router</Link></p>}
          {node.kind === "host" && node.uuid !== "" && <p><Link to={`/o/virtual-router/${node.uuid}?tab=traffic`}>Its traffic</Link></p>}
          {node.kind === "host" && <p><Link to={sessionsOf("vrouter", node.id)}>Its sessions</Link></p>}
          {underlay.cables.filter(({ from, to }) => from === node.id || to === node.id).map((each) => (
            <p key={each.key}>{each.from} {each.fromInterface} — {each.to} {each.toInterface}</p>
          ))}
        </>
      )}
      {cable !== undefined && (
        <>
          <h2>{cable.from} — {cable.to}</h2>
          <p>{[cable.fromInterface, cable.toInterface].filter(Boolean).join(" to ") || "Its interfaces are not told."}</p>
          <p>{rateText(rateOf(cable, told)) || "Nobody counts what passes it."}</p>
        </>
      )}
      {tunnel !== undefined && (
        <>
          <h2>{tunnel.from} — {tunnel.to}</h2>
          <p>{bytesText(tunnel.bytes)} in {tunnel.sessions.toLocaleString("en")} {tunnel.sessions === 1 ? "session" : "sessions"} that ended in the last 10 minutes.</p>
          <p><Link to={sessionsOf("other_vrouter_ip", (addresses(tunnel.to)[0] ?? addresses(tunnel.from)[0]) ?? tunnel.to)}>Its sessions</Link></p>
        </>
      )}
    </aside>
  );
}

function sessionsOf(column: string, value: string): string {
  const search = new URLSearchParams({
    table: "SessionRecordTable", from: "now-10m", sort: "T",
    columns: "T,session_type,vrouter,vmi,vn,local_ip,remote_vn,remote_ip,protocol,server_port,client_port,forward_action,other_vrouter_ip",
  });
  search.append("where", `${column}:1:${value}`);
  return `/query?${search.toString()}`;
}
