/** The alarms that are raised, and the way to the rules that raise them. */

import { Link } from "react-router";

import { useMaySee } from "../../api/session";
import { useConsole } from "../../app/context";
import { AlarmTable } from "./AlarmTable";
import { LiveMark } from "./LiveMark";

export function AlarmsPage() {
  const { identity } = useConsole();
  const seesRules = useMaySee(identity, "alarm");
  return (
    <div className="page">
      <div className="page-head">
        <h1>Alarms</h1>
        <LiveMark />
        {seesRules && <Link to="/o/alarm" style={{ textDecoration: "underline" }}>Alarm rules</Link>}
        <span className="form-note">An alarm clears when its rule has not held for a while; open one for why it was raised, what follows from it, what was kept</span>
      </div>
      <AlarmTable />
    </div>
  );
}
