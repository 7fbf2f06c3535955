/** Every object type by family, and the pages that are about all of them. */

import {
  AlertOutlined, ApartmentOutlined, ApiOutlined, AppstoreOutlined, ClusterOutlined, DashboardOutlined, DeploymentUnitOutlined, FileSearchOutlined, FundOutlined, GatewayOutlined, GlobalOutlined, PieChartOutlined,
  HistoryOutlined, ImportOutlined, NodeIndexOutlined, PartitionOutlined, RocketOutlined, SafetyOutlined, TeamOutlined,
} from "@ant-design/icons";
import { Layout, Menu, type MenuProps } from "antd";
import { type ReactNode, useMemo } from "react";
import { Link, useLocation } from "react-router";

import { moment } from "../api/moment";
import { isAdministrator } from "../api/session";
import { typesByFamily, typesTitle } from "../model/catalog";
import { useConsole } from "./context";
import type { Scheme } from "./theme";

/** What most people come for; also found in their families. What has a page of its own by the same name is left out. */
const FREQUENT = [
  "virtual-network", "virtual-machine-interface", "network-policy", "security-group", "logical-router",
  "network-ipam", "service-instance", "application-policy-set", "virtual-router", "bgp-router", "project",
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
    const page = (key: string, title: string, icon: ReactNode) => ({ key, icon, label: <Link to={key}>{title}</Link> });
    const [isNow, isAdmin] = [moment.get() === null, isAdministrator(identity)];
    const watching = [
      page("/", "Dashboard", <DashboardOutlined />),
      page("/topology", "Topology", <ApartmentOutlined />),
      page("/flows", "Service map", <DeploymentUnitOutlined />),
      page("/trace", "Path trace", <NodeIndexOutlined />),
      page("/alarms", "Alarms", <AlertOutlined />),
      page("/nodes", "Infrastructure", <ClusterOutlined />),
      page("/monitor", "Monitor", <FundOutlined />),
      page("/query", "Logs and flows", <FileSearchOutlined />),
      page("/addresses", "Address use", <PieChartOutlined />),
      ...(isAdmin ? [page("/history", "History", <HistoryOutlined />)] : []),
    ];
    const writing = [
      page("/ports", "Ports", <ApiOutlined />),
      page("/routers", "Routers", <GatewayOutlined />),
      page("/floating-ips", "Floating IPs", <GlobalOutlined />),
      page("/security", "Application policy", <SafetyOutlined />),
      page("/chains", "Service chains", <PartitionOutlined />),
      page("/import", "Import", <ImportOutlined />),
      ...(isAdmin ? [page("/users", "Users", <TeamOutlined />)] : []),
      page("/guide", "First steps", <RocketOutlined />),
    ];
    const group = (key: string, label: string, children: NonNullable<MenuProps["items"]>) => ({ type: "group" as const, key, label, children });
    return [
      group("watching", "Watch", watching),
      ...(isNow ? [group("writing", "Configure", writing)] : []),
      group("objects", "Objects", [
        { key: "frequent", icon: <AppstoreOutlined />, label: "Most used", children: FREQUENT.map((type) => entry(type, "frequent")) },
        ...families,
      ]),
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
