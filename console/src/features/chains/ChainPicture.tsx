/** The chain drawn: the left network, services in their order, the right network. Cards are dragged, or moved by their buttons. */

import { ArrowLeftOutlined, ArrowRightOutlined, CloseOutlined, PlusOutlined } from "@ant-design/icons";
import { Button, Select, Tag } from "antd";
import { type DragEvent, useState } from "react";

import { type Chain, moved, type Service, shortName } from "./chain";

const DRAGGED = "text/x-skytrail-service";

interface Props {
  readonly chain: Chain;
  readonly services: ReadonlyMap<string, Service>;
  readonly networks: readonly string[];
  readonly disabled: boolean;
  readonly onChange: (chain: Chain) => void;
  readonly onCopy: (service: Service) => void;
}

export function ChainPicture({ chain, services, networks, disabled, onChange, onCopy }: Props) {
  const [over, setOver] = useState(-1);
  const put = (names: readonly string[]) => onChange({ ...chain, services: names });
  const drop = (event: DragEvent, at: number) => {
    event.preventDefault();
    setOver(-1);
    const name = event.dataTransfer.getData(DRAGGED);
    if (name === "" || disabled) return;
    const from = chain.services.indexOf(name);
    put(from < 0 ? [...chain.services.slice(0, at), name, ...chain.services.slice(at)] : moved(chain.services, from, at > from ? at - 1 : at));
  };
  const gap = (at: number) => (
    <li
      key={`gap ${at}`}
      aria-hidden="true"
      className={`carriage${over === at ? " chain-over" : ""}`}
      onDragOver={(event) => { event.preventDefault(); setOver(at); }}
      onDragLeave={() => setOver(-1)}
      onDrop={(event) => drop(event, at)}
    />
  );
  return (
    <ol className="way chain" aria-label="The chain">
      <li className="station station-end">
        <End side="Left network" value={chain.left} networks={networks} disabled={disabled} onChange={(left) => onChange({ ...chain, left })} />
      </li>
      {gap(0)}
      {chain.services.flatMap((name, index) => [
        <li
          key={name}
          className="station chain-service"
          draggable={!disabled}
          aria-label={`Service ${index + 1}: ${shortName(name)}`}
          onDragStart={(event) => event.dataTransfer.setData(DRAGGED, name)}
          onDragOver={(event) => event.preventDefault()}
          onDrop={(event) => drop(event, index)}
        >
          <Card name={name} service={services.get(name)} disabled={disabled} onCopy={onCopy} />
          <div className="strip">
            <Button size="small" type="text" icon={<ArrowLeftOutlined />} aria-label={`${shortName(name)} to the left`} disabled={disabled || index === 0} onClick={() => put(moved(chain.services, index, index - 1))} />
            <Button size="small" type="text" icon={<ArrowRightOutlined />} aria-label={`${shortName(name)} to the right`} disabled={disabled || index === chain.services.length - 1} onClick={() => put(moved(chain.services, index, index + 1))} />
            <span className="spread" />
            <Button size="small" type="text" icon={<CloseOutlined />} aria-label={`Take ${shortName(name)} out`} disabled={disabled} onClick={() => put(chain.services.filter((each) => each !== name))} />
          </div>
        </li>,
        gap(index + 1),
      ])}
      {chain.services.length === 0 && (
        <>
          <li className="station station-missed form-note" onDragOver={(event) => event.preventDefault()} onDrop={(event) => drop(event, 0)}>No service yet: drag one here, or add it below</li>
          {gap(0)}
        </>
      )}
      <li className="station station-end">
        <End side="Right network" value={chain.right} networks={networks} disabled={disabled} onChange={(right) => onChange({ ...chain, right })} />
      </li>
    </ol>
  );
}

interface EndProps {
  readonly side: string;
  readonly value: string;
  readonly networks: readonly string[];
  readonly disabled: boolean;
  readonly onChange: (name: string) => void;
}

function End({ side, value, networks, disabled, onChange }: EndProps) {
  return (
    <>
      <div className="form-note">{side}</div>
      <Select
        showSearch
        aria-label={side}
        value={value || null}
        disabled={disabled}
        placeholder="Choose"
        style={{ width: 150 }}
        popupMatchSelectWidth={false}
        notFoundContent="The project has no networks"
        options={networks.map((name) => ({ value: name, label: shortName(name) }))}
        onChange={onChange}
      />
    </>
  );
}

function Card({ name, service, disabled, onCopy }: { readonly name: string; readonly service: Service | undefined; readonly disabled: boolean; readonly onCopy: (service: Service) => void }) {
  if (service === undefined) return <><strong>{shortName(name)}</strong><div className="form-fault">does not exist</div></>;
  return (
    <>
      <strong>{shortName(name)}</strong>
      <div><Tag>{service.mode || "no template"}</Tag></div>
      <div className="form-note">{service.copies.length === 0 ? "no copy" : service.copies.map((copy) => `${copy.name}${copy.isStandby ? " (stand-by)" : ""}`).join(", ")}</div>
      {service.checks.length > 0 && <div className="form-note">checked by {service.checks.join(", ")}</div>}
      <Button size="small" type="link" icon={<PlusOutlined />} aria-label={`Add a copy of ${shortName(name)}`} disabled={disabled} style={{ padding: 0 }} onClick={() => onCopy(service)}>copy</Button>
    </>
  );
}

/** Services that are there and not in the chain: dragged in, or added at its end. */
export function Palette({ names, services, disabled, onAdd }: { readonly names: readonly string[]; readonly services: ReadonlyMap<string, Service>; readonly disabled: boolean; readonly onAdd: (name: string) => void }) {
  return names.map((name) => (
    <span key={name} draggable={!disabled} onDragStart={(event) => event.dataTransfer.setData(DRAGGED, name)}>
      <Button size="small" icon={<PlusOutlined />} disabled={disabled} aria-label={`Add ${shortName(name)} to the chain`} onClick={() => onAdd(name)}>
        {shortName(name)} <span className="form-note">{services.get(name)?.mode}</span>
      </Button>
    </span>
  ));
}
