/** Whether all is well, what is not, who uses most, what changed, how much there is: each leads to more. */

import { useQueries } from "@tanstack/react-query";
import { Alert, Spin } from "antd";
import { lazy, Suspense } from "react";
import { Link } from "react-router";

import { count } from "../../api/client";
import { moment } from "../../api/moment";
import { isAdministrator, seesAll } from "../../api/session";
import { useConsole } from "../../app/context";
import { typesTitle } from "../../model/catalog";
import { AlarmTable } from "../monitor/AlarmTable";
import { LiveMark } from "../monitor/LiveMark";
import { useProcesses } from "../monitor/processes";
import { absence, useAlarms } from "../monitor/uves";
import { healthOf } from "./health";
import { Unwell, Verdict } from "./Verdict";

const Usage = lazy(() => import("./Usage").then((m) => ({ default: m.Usage })));
const Recent = lazy(() => import("./Recent").then((m) => ({ default: m.Recent })));

const COUNTED = [
  "virtual-network", "virtual-machine-interface", "virtual-machine", "virtual-router", "network-policy", "security-group",
  "logical-router", "service-instance", "floating-ip", "project",
] as const;

const PORTS = COUNTED.indexOf("virtual-machine-interface");

export function DashboardPage() {
  const { identity } = useConsole();
  const counts = useQueries({
    queries: COUNTED.map((type) => ({ queryKey: ["list", type, "count"], queryFn: () => count(type), retry: false })),
  });
  const { processes, error, isLoading } = useProcesses();
  const alarms = useAlarms();
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
      {error !== null && <Alert type="info" showIcon title={absence(error)} />}
      {error === null && (isLoading || alarms.isLoading) && <Spin />}
      {error === null && !isLoading && alarms.data !== undefined && <Verdict health={healthOf(alarms.data, processes)} processes={processes} alarms={alarms.data} />}
      <Unwell processes={processes} />
      {(alarms.isError || (alarms.data ?? []).length > 0) && (
        <section aria-label="Alarms">
          <h2>Alarms</h2>
          <AlarmTable />
        </section>
      )}
      <Suspense fallback={<Spin />}>
        <div className="panels">
          {seesAll(identity) && <Usage />}
          {isAdministrator(identity) && <Recent />}
        </div>
      </Suspense>
      <section aria-label="Objects">
        <h2>Objects</h2>
        <ul className="counts">
          {COUNTED.map((type, index) => (
            <li key={type}><Link to={`/o/${type}`}><strong>{counts[index]?.data?.toLocaleString("en") ?? "–"}</strong> {typesTitle(type)}</Link></li>
          ))}
        </ul>
      </section>
    </div>
  );
}
