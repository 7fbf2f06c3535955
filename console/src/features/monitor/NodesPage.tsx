/** Every node and process of the system; from here to what each holds now. */

import { moment } from "../../api/moment";
import { ProcessTable } from "./ProcessTable";

export function NodesPage() {
  return (
    <div className="page">
      <div className="page-head">
        <h1>Infrastructure</h1>
        {moment.get() === null && <span className="form-note">Every process that is known, asked anew every five seconds; a node leads to what its process holds now</span>}
      </div>
      <ProcessTable />
    </div>
  );
}
