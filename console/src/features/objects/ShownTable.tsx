/** A member as the table that its editor has, to be read. */

import { Fragment } from "react";

import type { Shown, ShownCell } from "../../forms/shown";
import { ReferenceLink, Value } from "./Values";

export function ShownTable({ title, shown: { columns, rows } }: { readonly title: string; readonly shown: Shown }) {
  return (
    <div className="rules">
      <table aria-label={title} className="shown">
        <thead>
          <tr>{columns.map((each) => <th key={each} scope="col">{each}</th>)}</tr>
        </thead>
        <tbody>
          {rows.map(({ cells, note = "", rest = {} }, index) => (
            // oxlint-disable-next-line react/no-array-index-key -- elements have no names of their own
            <Fragment key={index}>
              <tr>{cells.map((cell, place) => <td key={columns[place]}><Cell {...cell} /></td>)}</tr>
              {(note !== "" || Object.keys(rest).length > 0) && (
                <tr className="rules-below">
                  <td colSpan={columns.length}>
                    {note !== "" && <span className="form-note">{note}</span>}
                    {Object.keys(rest).length > 0 && <div className="form-nest"><Value value={rest} /></div>}
                  </td>
                </tr>
              )}
            </Fragment>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Cell({ text, leads }: ShownCell) {
  if (leads !== undefined) return <ReferenceLink target={leads.type} to={leads.to} uuid={leads.uuid} />;
  // A full name is long in a column: it may break behind each of its parts.
  return text.split(":").length < 3 || /^[0-9a-f:./]+$/i.test(text) ? text : text.split(":").map((part, index) => (
    // oxlint-disable-next-line react/no-array-index-key -- parts of one name stay where they are
    <Fragment key={index}>{index > 0 && <>:<wbr /></>}{part}</Fragment>
  ));
}
