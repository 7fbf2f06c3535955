/** The alarms that are raised. */

import { AlarmTable } from "./AlarmTable";
import { LiveMark } from "./LiveMark";

export function AlarmsPage() {
  return (
    <div className="page">
      <div className="page-head">
        <h1>Alarms</h1>
        <LiveMark />
        <span className="form-note">One goes when it has not held for a while; acknowledging marks it as seen</span>
      </div>
      <AlarmTable />
    </div>
  );
}
