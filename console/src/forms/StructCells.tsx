/** A structure as groups of cells, by what `structs.ts` says of it. */

import { type Document, isDocument } from "../model/document";
import { structFaults, type StructSpec } from "./columns";
import { FaultsBelow } from "./FaultsBelow";
import { CellGroup } from "./ListCell";
import type { EditorProps } from "./PropertyEditor";

interface Props extends Omit<EditorProps, "field"> {
  readonly spec: StructSpec;
}

export function StructCells({ spec, value, path, faults, onChange, disabled = false }: Props) {
  const held: Document = isDocument(value) ? value : {};
  const own = structFaults(spec, value, path);
  const unshown = spec.beside?.(held) ?? [];
  return (
    <>
      {spec.groups.map((group) => <CellGroup key={group.title} group={group} element={held} isQuiet={!isDocument(value)} labelOf={(column) => column.title} disabled={disabled} onChange={onChange} />)}
      <FaultsBelow path={path} faults={new Map([...faults].filter(([place]) => !own.has(place)))} />
      {unshown.length > 0 && <p className="form-note">In “All members”: {unshown.join(", ")}</p>}
    </>
  );
}
