/** What is chosen in the picture, in words, and where it leads. */

import { CloseOutlined } from "@ant-design/icons";
import { Alert, Button, Tag } from "antd";
import { Link } from "react-router";

import type { Join, Network, Overlay } from "./overlay";

interface Props {
  readonly overlay: Overlay;
  readonly ports: ReadonlyMap<string, number>;
  readonly selected: string;
  readonly onClose: () => void;
}

export function Selected({ overlay, ports, selected, onClose }: Props) {
  const network = overlay.networks.find((each) => each.uuid === selected);
  const join = overlay.joins.find((each) => each.key === selected);
  if (network === undefined && join === undefined) return null;
  return (
    <aside className="map-side" aria-label="Chosen">
      <Button size="small" type="text" icon={<CloseOutlined />} aria-label="Close" style={{ float: "right" }} onClick={onClose} />
      {network !== undefined && <NetworkFacts overlay={overlay} network={network} ports={ports.get(network.uuid)} />}
      {join !== undefined && <JoinFacts join={join} />}
    </aside>
  );
}

function NetworkFacts({ overlay, network, ports }: { readonly overlay: Overlay; readonly network: Network; readonly ports: number | undefined }) {
  const joins = overlay.joins.filter((each) => each.from === network || each.to === network);
  const all = `/o/virtual-machine-interface?q=${encodeURIComponent(`virtual_network_refs:eq:${network.uuid}`)}`;
  return (
    <>
      <h2>{network.name.split(":").at(-1)}</h2>
      <p className="form-note">{network.name.split(":").slice(0, -1).join(" › ")}</p>
      <p className="mono">{network.subnets.join(", ") || "no subnet"}</p>
      <p><Link to={all}>{ports ?? "…"} {ports === 1 ? "port" : "ports"}</Link></p>
      {joins.length === 0 && <p>No policy joins it to another network here.</p>}
      {joins.map((join) => (
        <p key={join.key}>
          <Verdict join={join} /> {(join.from === network ? join.to : join.from).name.split(":").at(-1)} by{" "}
          <Link to={`/o/network-policy/${join.policyUuid}`}>{join.policy.split(":").at(-1)}</Link>
        </p>
      ))}
      <p><Link to={`/o/virtual-network/${network.uuid}`}>Open the network</Link></p>
    </>
  );
}

function JoinFacts({ join }: { readonly join: Join }) {
  return (
    <>
      <h2>{join.policy.split(":").at(-1)}</h2>
      <p>
        <Verdict join={join} /> between <Link to={`/o/virtual-network/${join.from.uuid}`}>{join.from.name.split(":").at(-1)}</Link> and{" "}
        <Link to={`/o/virtual-network/${join.to.uuid}`}>{join.to.name.split(":").at(-1)}</Link>
      </p>
      {join.services.length > 0 && <p>Through {join.services.join(", ")}</p>}
      {join.missingAt !== "" && (
        <Alert type="warning" showIcon title={`${join.missingAt.split(":").at(-1)} does not have this policy: nothing passes until it has.`} />
      )}
      <p><Link to={`/o/network-policy/${join.policyUuid}`}>Open the policy</Link></p>
      <p><Link to={`/o/network-policy/${join.policyUuid}/edit`}>Edit its rules</Link></p>
    </>
  );
}

function Verdict({ join }: { readonly join: Join }) {
  if (!join.passes) return <Tag color="red">denied</Tag>;
  return <Tag color={join.denies ? "orange" : "green"}>{join.denies ? "some passes" : "passes"}</Tag>;
}
