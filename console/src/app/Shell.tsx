/** The frame of every page: navigation, search, who and whether live. */

import { LogoutOutlined, MenuOutlined, MoonOutlined, SearchOutlined, SunOutlined, UnlockOutlined, UserOutlined } from "@ant-design/icons";
import { useQueryClient } from "@tanstack/react-query";
import { Alert, Badge, Button, Layout, Spin, Tooltip } from "antd";
import { lazy, Suspense, useEffect, useState } from "react";
import { Link, Navigate, Route, Routes, useLocation, useNavigate } from "react-router";

import { token } from "../api/client";
import { moment } from "../api/moment";
import { isAdministrator, isOpen } from "../api/session";
import { DashboardPage } from "../features/dashboard/DashboardPage";
import { ListPage } from "../features/objects/ListPage";
import { useConsole } from "./context";
import { Navigation } from "./Navigation";
import { NoPage } from "./NoPage";
import { OnlyNowPage } from "./OnlyNow";
import { PartialBanner } from "./PartialBanner";
import { Search } from "./Search";
import { useNarrow } from "./narrow";
import type { Scheme } from "./theme";
import { PastBanner, TimeMachine } from "./TimeMachine";

const DetailPage = lazy(() => import("../features/objects/DetailPage").then((m) => ({ default: m.DetailPage })));
const EditPage = lazy(() => import("../features/objects/EditPage").then((m) => ({ default: m.EditPage })));
const ImportPage = lazy(() => import("../features/objects/ImportPage").then((m) => ({ default: m.ImportPage })));
const MonitorPage = lazy(() => import("../features/monitor/MonitorPage").then((m) => ({ default: m.MonitorPage })));
const NodesPage = lazy(() => import("../features/monitor/NodesPage").then((m) => ({ default: m.NodesPage })));
const ProcessPage = lazy(() => import("../features/monitor/ProcessPage").then((m) => ({ default: m.ProcessPage })));
const AlarmsPage = lazy(() => import("../features/monitor/AlarmsPage").then((m) => ({ default: m.AlarmsPage })));
const TracePage = lazy(() => import("../features/trace/TracePage").then((m) => ({ default: m.TracePage })));
const QueryPage = lazy(() => import("../features/query/QueryPage").then((m) => ({ default: m.QueryPage })));
const TopologyPage = lazy(() => import("../features/topology/TopologyPage").then((m) => ({ default: m.TopologyPage })));
const FlowMapPage = lazy(() => import("../features/flows/FlowMapPage").then((m) => ({ default: m.FlowMapPage })));
const GuidePage = lazy(() => import("../features/guide/GuidePage").then((m) => ({ default: m.GuidePage })));
const ChainsPage = lazy(() => import("../features/chains/ChainsPage").then((m) => ({ default: m.ChainsPage })));
const AddressesPage = lazy(() => import("../features/addresses/AddressesPage").then((m) => ({ default: m.AddressesPage })));
const FloatingPage = lazy(() => import("../features/floating/FloatingPage").then((m) => ({ default: m.FloatingPage })));
const PortsPage = lazy(() => import("../features/ports/PortsPage").then((m) => ({ default: m.PortsPage })));
const RoutersPage = lazy(() => import("../features/routers/RoutersPage").then((m) => ({ default: m.RoutersPage })));
const UsersPage = lazy(() => import("../features/users/UsersPage").then((m) => ({ default: m.UsersPage })));
const SecurityPage = lazy(() => import("../features/security/SecurityPage").then((m) => ({ default: m.SecurityPage })));
const HistoryPage = lazy(() => import("../features/history/HistoryPage").then((m) => ({ default: m.HistoryPage })));

const LIVENESS = {
  connecting: { colour: "#8fd0ff", text: "connecting", why: "Connecting to the stream of changes" },
  live: { colour: "#7be07b", text: "live", why: "Changes show as they happen" },
  broken: { colour: "#ff9c96", text: "not live", why: "The stream of changes is interrupted; trying again" },
  past: { colour: "#ffd666", text: "past", why: "You see the network as it was" },
  refused: { colour: "#ffd666", text: "not live", why: "You may not watch changes: reload to see what is new" },
} as const;

interface Props {
  readonly scheme: Scheme;
  readonly onTurn: () => void;
}

export function Shell({ scheme, onTurn }: Props) {
  const [searching, setSearching] = useState(false);
  const { pathname, search } = useLocation();
  const menu = useMenu();
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      setSearching(true);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  return (
    <Layout style={{ height: "100vh" }}>
      <Head scheme={scheme} onTurn={onTurn} onSearch={() => setSearching(true)} menu={menu} />
      <PastBanner />
      <PartialBanner />
      <Layout style={{ position: "relative" }}>
        {menu.isOpen && <Navigation scheme={scheme} isOver={menu.isNarrow} />}
        {/* Which address this is the page of: one whose code is on its way leaves the page before it in place. */}
        <Layout.Content role="main" data-address={pathname + search} style={{ overflow: "hidden", background: "var(--ground)" }}>
          <Suspense fallback={<Spin style={{ margin: 48 }} />}>
            <Pages />
          </Suspense>
        </Layout.Content>
      </Layout>
      <Search open={searching} onClose={() => setSearching(false)} />
    </Layout>
  );
}

/** Pages that change what another one shows: in the past that one is shown instead. */
const WRITING = ["/o/:type/new", "/o/:type/:uuid/edit"] as const;

/** Pages that the past does not have. */
const PRESENT = [
  { path: "/guide", title: "First steps", what: "First steps builds an example, and the past cannot be changed." },
  { path: "/import", title: "Import", what: "Imports make objects, and the past cannot be changed." },
  { path: "/trace", title: "Path trace", what: "Hosts are asked what they would do now. What they did then is in Logs and flows." },
  { path: "/users", title: "Users", what: "Who could log in then is not kept." },
] as const;

interface MenuState {
  readonly isOpen: boolean;
  readonly isNarrow: boolean;
  readonly turn: () => void;
}

/** Where there is little room, the menu is over the page, and goes when a page was chosen. */
function useMenu(): MenuState {
  const isNarrow = useNarrow();
  const { pathname } = useLocation();
  /** Where it was opened or closed by hand; elsewhere it is as the room lets it. */
  const [turned, setTurned] = useState<{ readonly at: string; readonly isOpen: boolean; readonly isNarrow: boolean } | null>(null);
  const holds = turned !== null && turned.isNarrow === isNarrow && (!isNarrow || turned.at === pathname);
  const isShown = holds ? turned.isOpen : !isNarrow;
  return { isOpen: isShown, isNarrow, turn: () => setTurned({ at: pathname, isOpen: !isShown, isNarrow }) };
}

/** Pages whose questions are answered to administrators alone; the navigation leads nobody else there. */
const ADMINISTERING = ["/users", "/history"] as const;

function Pages() {
  const { identity } = useConsole();
  const isPast = moment.get() !== null;
  return (
    <Routes>
      {!isAdministrator(identity) && ADMINISTERING.map((path) => <Route key={path} path={path} element={<ForAdministrators />} />)}
      {isPast && WRITING.map((path) => <Route key={path} path={path} element={<Navigate to=".." relative="path" replace />} />)}
      {isPast && PRESENT.map(({ path, ...told }) => <Route key={path} path={path} element={<OnlyNowPage {...told} />} />)}
      <Route path="/" element={<DashboardPage />} />
      <Route path="/monitor" element={<MonitorPage />} />
      <Route path="/nodes" element={<NodesPage />} />
      <Route path="/nodes/:node/:process" element={<ProcessPage />} />
      <Route path="/alarms" element={<AlarmsPage />} />
      <Route path="/trace" element={<TracePage />} />
      <Route path="/query" element={<QueryPage />} />
      <Route path="/flows" element={<FlowMapPage />} />
      <Route path="/topology" element={<TopologyPage />} />
      <Route path="/chains" element={<ChainsPage />} />
      <Route path="/addresses" element={<AddressesPage />} />
      <Route path="/floating-ips" element={<FloatingPage />} />
      <Route path="/ports" element={<PortsPage />} />
      <Route path="/routers" element={<RoutersPage />} />
      <Route path="/users" element={<UsersPage />} />
      <Route path="/security" element={<SecurityPage />} />
      <Route path="/guide" element={<GuidePage />} />
      <Route path="/history" element={<HistoryPage />} />
      <Route path="/import" element={<ImportPage />} />
      <Route path="/o/:type" element={<ListPage />} />
      <Route path="/o/:type/new" element={<EditPage />} />
      <Route path="/o/:type/:uuid" element={<DetailPage />} />
      <Route path="/o/:type/:uuid/edit" element={<EditPage />} />
      <Route path="*" element={<NoPage />} />
    </Routes>
  );
}

function ForAdministrators() {
  return (
    <div className="page">
      <Alert type="info" showIcon title="This page is for administrators." />
    </div>
  );
}

function Head({ scheme, onTurn, onSearch, menu }: Props & { readonly onSearch: () => void; readonly menu: MenuState }) {
  const { identity, liveness } = useConsole();
  const live = LIVENESS[liveness];
  return (
    <Layout.Header className="head">
      <Button icon={<MenuOutlined />} aria-label="Menu" aria-expanded={menu.isOpen} onClick={menu.turn} />
      <Link to="/" className="head-name">Skytrail</Link>
      <span className="spread" />
      <Button className="head-search" icon={<SearchOutlined />} onClick={onSearch} aria-keyshortcuts="Control+K">
        <span>Search</span> <kbd className="mono">Ctrl K</kbd>
      </Button>
      {isAdministrator(identity) && <TimeMachine />}
      <Tooltip title={live.why}>
        <Badge color={live.colour} text={<span style={{ color: "#fff" }}>{live.text}</span>} />
      </Tooltip>
      <Button
        icon={scheme === "dark" ? <SunOutlined /> : <MoonOutlined />}
        onClick={onTurn}
        aria-label={scheme === "dark" ? "Light colours" : "Dark colours"}
      />
      <Who />
    </Layout.Header>
  );
}

function Who() {
  const { identity } = useConsole();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const leave = () => {
    token.clear();
    queries.clear();
    void navigate("/");
    location.reload();
  };
  if (isOpen(identity)) {
    return (
      <Tooltip title="This server asks nobody to log in: whoever reaches it may do everything">
        <span className="head-who"><UnlockOutlined aria-hidden /> open</span>
      </Tooltip>
    );
  }
  return (
    <>
      <span className="head-who" title={identity.user}><UserOutlined aria-hidden /> {identity.user}</span>
      <Button icon={<LogoutOutlined />} aria-label="Log out" onClick={leave} />
    </>
  );
}
