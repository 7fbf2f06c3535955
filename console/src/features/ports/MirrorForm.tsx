/** What of a port's traffic is copied, and to which analyzer. */

import { Input, Segmented } from "antd";

import { ChoiceCell } from "../../forms/TableCell";
import { type Mirror, mirrorOf, NO_MIRROR, type Port, withMirror } from "./ports";

interface Props {
  readonly port: Port;
  readonly analyzers: readonly string[];
  readonly disabled: boolean;
  readonly onChange: (part: Partial<Port>) => void;
}

/** Directions are the vRouter's. */
const DIRECTIONS = [
  { value: NO_MIRROR, label: "nothing" }, { value: "ingress", label: "what it sends" }, { value: "egress", label: "what it gets" }, { value: "both", label: "both" },
];

export function MirrorForm({ port, analyzers, disabled, onChange }: Props) {
  const mirror = mirrorOf(port);
  const set = (part: Partial<Mirror>) => onChange({ properties: withMirror(port, part).properties });
  return (
    <>
      <div className="form-row">
        <span id="mirror-direction">Copied</span>
        <Segmented aria-labelledby="mirror-direction" disabled={disabled} options={DIRECTIONS} value={mirror.direction} onChange={(direction) => set({ direction })} />
      </div>
      {mirror.direction !== NO_MIRROR && (
        <>
          <div className="form-row">
            <span>Analyzer</span>
            <div>
              <ChoiceCell label="Analyzer" value={mirror.analyzer} choices={analyzers} disabled={disabled} onChange={(analyzer) => set({ analyzer })} />
              <div className="form-note">A service instance of type analyzer, whose address is found; or any name with an address below.</div>
            </div>
          </div>
          <div className="form-row"><label htmlFor="mirror-address">Its address</label><Input id="mirror-address" className="mono" style={{ maxWidth: 260 }} disabled={disabled} placeholder="the service's" value={mirror.address} onChange={(event) => set({ address: event.target.value })} /></div>
          <div className="form-row"><label htmlFor="mirror-port">UDP port</label><Input id="mirror-port" style={{ maxWidth: 120 }} inputMode="numeric" disabled={disabled} placeholder="8099" value={mirror.udpPort} onChange={(event) => set({ udpPort: event.target.value.trim() })} /></div>
        </>
      )}
    </>
  );
}
