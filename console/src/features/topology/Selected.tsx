/** What is chosen in the picture, in words, and where it leads. */

import { CloseOutlined } from "@ant-design/icons";
import { Alert, Button, Tag } from "antd";
import { Link } from "react-router";

import { moment } from "../../api/moment";
import { bytesText } from "../../model/units";
import type { Edge } from "../flows/flows";
import type { Rate } from "./live";
import type { Join, Leg, Network, Overlay, OverlayRouter } from "./overlay";

interface Props {
  readonly overlay: Overlay;
  readonly ports: ReadonlyMap<string, number>;
  readonly rates: ReadonlyMap<string, Rate>;
  /** Who talked to whom lately. */
  readonly edges: readonly Edge[];
  readonly selected: string;
  readonly onClose: () => void;
}

export function Selected({ overlay, ports, rates, edges, selected, onClose }: Props) {
  const network = overlay.networks.find((each) => each.uuid === selected);
  const join = overlay.joins.find((each) => each.key === selected);
  const router = overlay.routers.find((each) => each.uuid === selected);
  if (network === undefined && join === undefined && router === undefined) return null;
  return (
    <aside className="map-side" aria-label="Chosen">
      <Button size="small" type="text" icon={<CloseOutlined />} aria-label="Close" style={{ float: "right" }} onClick={onClose} />
      {network !== undefined && <NetworkFacts overlay={overlay} network={network} ports={ports.get(network.uuid)} rate={rates.get(network.name)} />}
      {join !== undefined && <JoinFacts join={join} />}
      {join !== undefined && <Talk edges={edges.filter(({ from, to }) => [from, to].toSorted().join() === [join.from.name, join.to.name].toSorted().join())} />}
      {router !== undefined && <RouterFacts router={router} legs={overlay.legs.filter((each) => each.router === router)} />}
    </aside>
  );
}

interface NetworkProps {
  readonly overlay: Overlay;
  readonly network: Network;
  readonly ports: number | undefined;
  readonly rate: Rate | undefined;
}

function NetworkFacts({ overlay, network, ports, rate }: NetworkProps) {
  const joins = overlay.joins.filter((each) => each.from === network || each.to === network);
  const all = `/o/virtual-machine-interface?q=${encodeURIComponent(`virtual_network_refs:eq:${network.uuid}`)}`;
  return (
    <>
      <h2>{network.name.split(":").at(-1)}</h2>
      <p className="form-note">{network.name.split(":").slice(0, -1).join(" › ")}</p>
      <p className="mono">{network.subnets.join(", ") || "no subnet"}</p>
      <p><Link to={all}>{ports ?? "…"} {ports === 1 ? "port" : "ports"}</Link></p>
      {rate !== undefined && <p>in {bytesText(rate.in)}/s, out {bytesText(rate.out)}/s</p>}
      {overlay.legs.filter((each) => each.network === network).map(({ key, router, isOutside }) => (
        <p key={key}>{isOutside ? "Outside of" : "Joined by"} router <Link to={`/o/logical-router/${router.uuid}`}>{router.name.split(":").at(-1)}</Link></p>
      ))}
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
      {moment.get() === null && <p><Link to={`/o/network-policy/${join.policyUuid}/edit`}>Edit its rules</Link></p>}
    </>
  );
}

function RouterFacts({ router, legs }: { readonly router: OverlayRouter; readonly legs: readonly Leg[] }) {
  return (
    <>
      <h2>{router.name.split(":").at(-1)}</h2>
      <p className="form-note">{router.isExtended ? "Routes between its networks by VXLAN" : "Joins its networks; leaves by the outside one, with an address of that"}</p>
      {legs.length === 0 && <p>It joins no network that is shown here.</p>}
      {legs.map(({ key, network, isOutside }) => (
        <p key={key}>{isOutside ? "outside: " : ""}<Link to={`/o/virtual-network/${network.uuid}`}>{network.name.split(":").at(-1)}</Link></p>
      ))}
      <p><Link to={`/o/logical-router/${router.uuid}`}>Open the router</Link></p>
      {moment.get() === null && <p><Link to={`/o/logical-router/${router.uuid}/edit`}>Edit it</Link></p>}
    </>
  );
}

/** What went between two networks lately, and where its sessions are. */
function Talk({ edges }: { readonly edges: readonly Edge[] }) {
  if (edges.length === 0) return <p className="form-note">No session between them ended in the last 10 minutes.</p>;
  return edges.map(({ key, from, to, passed, denied, bytes }) => (
    <p key={key}>
      {from.split(":").at(-1)} → {to.split(":").at(-1)}: {passed.toLocaleString("en")} passed, {denied.toLocaleString("en")} denied, {bytesText(bytes)}.{" "}
      <Link to={`/flows?from=now-10m&selected=${encodeURIComponent(key)}`}>Its sessions</Link>
    </p>
  ));
}

function Verdict({ join }: { readonly join: Join }) {
  if (!join.passes) return <Tag color="red">denied</Tag>;
  return <Tag color={join.denies ? "orange" : "green"}>{join.denies ? "some passes" : "passes"}</Tag>;
}
