/** Every object type by family, and the pages that are about all of them. */

import {
  AlertOutlined, ApartmentOutlined, ApiOutlined, AppstoreOutlined, ClusterOutlined, DashboardOutlined, DeploymentUnitOutlined, FileSearchOutlined, FundOutlined, GatewayOutlined, GlobalOutlined, PieChartOutlined,
  HistoryOutlined, ImportOutlined, NodeIndexOutlined, PartitionOutlined, RocketOutlined, SafetyOutlined, TeamOutlined,
} from "@ant-design/icons";
import { Layout, Menu } from "antd";
import { useMemo } from "react";
import { Link, useLocation } from "react-router";

import { moment } from "../api/moment";
import { isAdministrator } from "../api/session";
import { typesByFamily, typesTitle } from "../model/catalog";
import { useConsole } from "./context";
import type { Scheme } from "./theme";

/** What most people come for; also found in their families. */
const FREQUENT = [
  "virtual-network", "virtual-machine-interface", "network-policy", "security-group", "logical-router",
  "floating-ip", "network-ipam", "service-instance", "application-policy-set", "virtual-router", "bgp-router", "project",
] as const;

interface Props {
  readonly scheme: Scheme;
  /** Over the page instead of beside it. */
  readonly isOver: boolean;
}

export function Navigation({ scheme, isOver }: Props) {
  const { catalog, identity } = useConsole();
  const { pathname } = useLocation();
  const items = useMemo(() => {
    const entry = (type: string, group: string) => ({
      key: `${group}/o/${type}`,
      label: <Link to={`/o/${type}`}>{typesTitle(type)}</Link>,
    });
    const families = typesByFamily(catalog).map(({ family, title, types }) => ({
      key: family,
      label: title,
      children: types.map((type) => entry(type, family)),
    }));
    const everybody = [
      { key: "/", icon: <DashboardOutlined />, label: <Link to="/">Dashboard</Link> },
      { key: "/topology", icon: <ApartmentOutlined />, label: <Link to="/topology">Topology</Link> },
      { key: "/flows", icon: <DeploymentUnitOutlined />, label: <Link to="/flows">Service map</Link> },
      { key: "/trace", icon: <NodeIndexOutlined />, label: <Link to="/trace">Path trace</Link> },
      { key: "/addresses", icon: <PieChartOutlined />, label: <Link to="/addresses">Address use</Link> },
      { key: "/nodes", icon: <ClusterOutlined />, label: <Link to="/nodes">Infrastructure</Link> },
      { key: "/monitor", icon: <FundOutlined />, label: <Link to="/monitor">Monitor</Link> },
      { key: "/alarms", icon: <AlertOutlined />, label: <Link to="/alarms">Alarms</Link> },
      { key: "/query", icon: <FileSearchOutlined />, label: <Link to="/query">Logs and flows</Link> },
    ];
    const writing = [
      { key: "/security", icon: <SafetyOutlined />, label: <Link to="/security">Application policy</Link> },
      { key: "/ports", icon: <ApiOutlined />, label: <Link to="/ports">Ports</Link> },
      { key: "/routers", icon: <GatewayOutlined />, label: <Link to="/routers">Routers</Link> },
      { key: "/floating-ips", icon: <GlobalOutlined />, label: <Link to="/floating-ips">Floating IPs</Link> },
      { key: "/chains", icon: <PartitionOutlined />, label: <Link to="/chains">Service chains</Link> },
      { key: "/import", icon: <ImportOutlined />, label: <Link to="/import">Import</Link> },
      { key: "/guide", icon: <RocketOutlined />, label: <Link to="/guide">First steps</Link> },
    ];
    const users = { key: "/users", icon: <TeamOutlined />, label: <Link to="/users">Users</Link> };
    const history = { key: "/history", icon: <HistoryOutlined />, label: <Link to="/history">History</Link> };
    return [
      ...everybody,
      ...(isAdministrator(identity) ? [history] : []),
      ...(moment.get() === null ? writing : []),
      ...(moment.get() === null && isAdministrator(identity) ? [users] : []),
      { key: "frequent", icon: <AppstoreOutlined />, label: "Most used", children: FREQUENT.map((type) => entry(type, "frequent")) },
      { type: "divider" as const },
      ...families,
    ];
  }, [catalog, identity]);
  const type = /^\/o\/([^/]+)/.exec(pathname)?.[1];
  const selected = type === undefined ? [pathname.startsWith("/nodes/") ? "/nodes" : pathname] : selectedKeys(type, catalog.objects[type]?.family ?? "");
  return (
    <Layout.Sider width={232} theme={scheme} className={isOver ? "menu menu-over" : "menu"}>
      <nav aria-label="Pages and object types">
        <Menu mode="inline" theme={scheme} items={items} selectedKeys={selected} defaultOpenKeys={["frequent"]} />
      </nav>
    </Layout.Sider>
  );
}

function selectedKeys(type: string, family: string): string[] {
  return [`frequent/o/${type}`, `${family}/o/${type}`];
}
