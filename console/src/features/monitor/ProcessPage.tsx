/** One process: how it is, and every table that it holds now. */

import { useQuery } from "@tanstack/react-query";
import { Alert, Button, Select, Spin } from "antd";
import { lazy, Suspense } from "react";
import { Link, useNavigate, useParams, useSearchParams } from "react-router";

import { call, uuidOf } from "../../api/client";
import { moment } from "../../api/moment";
import { OnlyNow } from "../../app/OnlyNow";
import { bytesText } from "../../model/units";
import { sourcesOf } from "../charts/series";
import { LiveRows } from "./LiveRows";
import { askedOf, searchOf, tablesOf, tablesWith } from "./liveTables";
import { AGENT, durationText, kindOf, type Process, useProcesses } from "./processes";
import { HealthTag } from "./ProcessTable";
import { absence, NOT_KEPT, unlessSeen, useSeesAll } from "./uves";

interface Listed {
  readonly processes: readonly { readonly node: string; readonly process: string; readonly tables: readonly string[]; readonly failure: string }[];
}

export function ProcessPage() {
  const { node = "", process = "" } = useParams();
  return moment.get() === null ? <PresentProcess node={node} process={process} /> : <PastProcess node={node} process={process} />;
}

interface Named {
  readonly node: string;
  readonly process: string;
}

/** What it held is not kept; its numbers over time are. */
function PastProcess({ node, process }: Named) {
  return (
    <div className="page">
      <div className="page-head">
        <h1>{node}</h1>
        <span className="form-note">{kindOf(process)}</span>
        <span className="spread" />
        {process === AGENT && <HostObject name={node} />}
      </div>
      <OnlyNow what={NOT_KEPT} />
      <Suspense fallback={<Spin />}><ProcessCharts node={node} process={process} /></Suspense>
    </div>
  );
}

function PresentProcess({ node, process }: Named) {
  const { processes, error } = useProcesses();
  const isSeen = useSeesAll();
  const listed = useQuery({
    queryKey: ["live", node, process],
    queryFn: ({ signal }) => {
      unlessSeen(isSeen);
      return call<Listed>("GET", `/api/v1/analytics/introspect?${new URLSearchParams({ node, process }).toString()}`, { signal });
    },
    staleTime: 60_000,
    retry: false,
  });
  const itself = processes.find((each) => each.node === node && each.process === process);
  const failure = absence(listed.error ?? error) || listed.data?.processes[0]?.failure || "";
  return (
    <div className="page">
      <div className="page-head">
        <h1>{node}</h1>
        <span className="form-note">{kindOf(process)}</span>
        {itself !== undefined && <HealthTag health={itself.health} />}
        <span className="form-note">{itself === undefined ? "" : summary(itself)}</span>
        <span className="spread" />
        {process === AGENT && <HostObject name={node} />}
        <Link to="/nodes">All processes</Link>
      </div>
      {failure !== "" && <Alert type="warning" showIcon title={failure} />}
      {listed.data === undefined ? listed.isError || <Spin /> : <Tables key={`${node} ${process}`} node={node} process={process} names={listed.data.processes.flatMap((each) => each.tables)} />}
    </div>
  );
}

function summary({ why, version, uptimeS, residentBytes, cpuPercent, openFds }: Process): string {
  const parts = [
    why,
    version === "" ? "" : `version ${version}`,
    uptimeS === null ? "" : `runs for ${durationText(uptimeS)}`,
    residentBytes === null ? "" : bytesText(residentBytes),
    cpuPercent === null ? "" : `${cpuPercent.toFixed(1)} % of a processor`,
    openFds === null ? "" : `${openFds} open files`,
  ];
  return parts.filter((part) => part !== "").join(" · ");
}

/** The object of the configuration that is about a process; null: there is none. */
function useObjectOf(node: string, process: string) {
  return useQuery({
    queryKey: ["list", "virtual-router", "named", node],
    queryFn: async () => (await uuidOf("virtual-router", ["default-global-system-config", node])) ?? null,
    enabled: process === AGENT,
    retry: false,
  });
}

function ProcessCharts({ node, process }: Named) {
  const { data } = useObjectOf(node, process);
  return <Charts sources={sourcesOf(process)} of={node} uuid={data ?? ""} />;
}

function HostObject({ name }: { readonly name: string }) {
  const navigate = useNavigate();
  const found = useObjectOf(name, AGENT);
  if (found.data === undefined || found.data === null) return null;
  return <Button onClick={() => void navigate(`/o/virtual-router/${found.data}`)}>Its configuration</Button>;
}

/** Beside the tables: numbers of the process over time. */
const CHARTS = "charts";
const Charts = lazy(() => import("../charts/Charts").then((m) => ({ default: m.Charts })));

const first = (table: string) => searchOf({ table, where: {}, match: "", page: 1 });

function Tables({ node, process, names }: { readonly node: string; readonly process: string; readonly names: readonly string[] }) {
  const [search, setSearch] = useSearchParams();
  const tables = tablesWith(process, names);
  const described = tablesOf(process);
  const asked = askedOf(search, tables[0]?.name ?? "");
  const chosen = tables.find(({ name }) => name === asked.table);
  const leading = described.length > 0 ? tables.slice(0, described.length) : tables;
  const others = tables.slice(leading.length);
  return (
    <>
      <div className="strip">
        <nav aria-label="Tables" className="table-links">
          {leading.map(({ name, title }) => <Link key={name} to={`?${first(name).toString()}`} aria-current={name === asked.table ? "page" : undefined}>{title}</Link>)}
          <Link to={`?${first(CHARTS).toString()}`} aria-current={asked.table === CHARTS ? "page" : undefined}>Over time</Link>
        </nav>
        {others.length > 0 && (
          <Select
            showSearch={{ optionFilterProp: "label" }}
            aria-label="Other tables"
            placeholder="other tables"
            style={{ width: 180 }}
            value={others.some(({ name }) => name === asked.table) ? asked.table : null}
            options={others.map(({ name, title }) => ({ value: name, label: title }))}
            onChange={(name: string) => setSearch(first(name))}
          />
        )}
      </div>
      {asked.table === CHARTS && <Suspense fallback={<Spin />}><ProcessCharts node={node} process={process} /></Suspense>}
      {asked.table === CHARTS ? null : chosen === undefined
        ? asked.table !== "" && <Alert type="info" showIcon title={`This process has no table ${asked.table}`} />
        : <LiveRows place={[node, process]} table={chosen} asked={asked} onAsk={(next) => setSearch(searchOf(next))} />}
    </>
  );
}
