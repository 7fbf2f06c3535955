/** How many objects there are, what is wrong, what runs. */

import { useQueries } from "@tanstack/react-query";
import { Alert, Card, Statistic } from "antd";
import { Link } from "react-router";

import { count } from "../../api/client";
import { moment } from "../../api/moment";
import { typeTitle } from "../../model/catalog";
import { AlarmTable } from "../monitor/AlarmTable";
import { LiveMark } from "../monitor/LiveMark";
import { ProcessTable } from "../monitor/ProcessTable";

const COUNTED = [
  "virtual-network", "virtual-machine-interface", "virtual-machine", "virtual-router", "network-policy", "security-group",
  "logical-router", "service-instance", "floating-ip", "project",
] as const;

const PORTS = COUNTED.indexOf("virtual-machine-interface");

export function DashboardPage() {
  const counts = useQueries({
    queries: COUNTED.map((type) => ({ queryKey: ["list", type, "count"], queryFn: () => count(type), retry: false })),
  });
  return (
    <div className="page">
      <div className="page-head">
        <h1>Dashboard</h1>
        <LiveMark />
      </div>
      {counts[PORTS]?.data === 0 && moment.get() === null && (
        <Alert
          type="info"
          showIcon
          title="There are no ports yet."
          description={<><Link to="/guide" style={{ textDecoration: "underline" }}>First steps</Link> builds two tenants with networks, a policy and ports, and says what each is for.</>}
        />
      )}
      <div className="cards">
        {COUNTED.map((type, index) => (
          <Link key={type} to={`/o/${type}`}>
            <Card size="small" hoverable style={{ height: "100%" }}>
              <Statistic title={typeTitle(type)} value={counts[index]?.data ?? "–"} />
            </Card>
          </Link>
        ))}
      </div>
      <section aria-label="Alarms">
        <h2 style={{ fontSize: 16 }}>Alarms</h2>
        <AlarmTable />
      </section>
      <section aria-label="Processes">
        <h2 style={{ fontSize: 16 }}>Processes</h2>
        <ProcessTable />
      </section>
    </div>
  );
}
