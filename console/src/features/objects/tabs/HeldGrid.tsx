/** Addresses and who has them, any number. */

import { Link } from "react-router";

import { RowGrid } from "../../../grid/RowGrid";
import type { Held } from "./addresses";

export function HeldGrid({ held }: { readonly held: readonly Held[] }) {
  return <div style={{ height: Math.min(420, 80 + 30 * held.length), display: "flex" }}><RowGrid label="Addresses in use" columns={COLUMNS} rows={held} /></div>;
}

const COLUMNS = [
  { name: "address", title: "Address", width: 200, render: (row: Held) => <Link to={`/o/${row.type}/${row.uuid}`} className="mono">{row.address || "none yet"}</Link> },
  { name: "kind", title: "Kind", width: 160, render: (row: Held) => row.kind },
  { name: "port", title: "Port", width: 320, render: (row: Held) => row.ports.map((each) => <Link key={each.uuid} to={`/o/virtual-machine-interface/${each.uuid}`} style={{ marginRight: 8 }}>{each.name}</Link>) },
];
