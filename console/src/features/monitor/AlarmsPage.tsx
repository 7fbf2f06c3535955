/** The alarms that are raised. */

import { AlarmTable } from "./AlarmTable";
import { LiveMark } from "./LiveMark";

export function AlarmsPage() {
  return (
    <div className="page">
      <div className="page-head">
        <h1>Alarms</h1>
        <LiveMark />
        <span className="form-note">One goes when it has not held for a while; open one for why it was raised, what follows from it, what was kept</span>
      </div>
      <AlarmTable />
    </div>
  );
}
