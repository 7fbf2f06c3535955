/** The overlay (networks by project, policies and routers between them) and the underlay, with what passes; every part leads on. */

import { useQueries, useQuery } from "@tanstack/react-query";
import { Alert, Button, Empty, Segmented, Select, Spin } from "antd";
import { useMemo } from "react";
import { useNavigate, useSearchParams } from "react-router";

import { count, list } from "../../api/client";
import { moment } from "../../api/moment";
import { isDocument, isList, type Json } from "../../model/document";
import { namesIn } from "../../policy/decide";
import { useFlowMap } from "../flows/useFlows";
import { LATELY, useRates } from "./live";
import { type Overlay, overlayOf, projectOf } from "./overlay";
import { OverlayPicture, pairKey } from "./OverlayPicture";
import { Selected } from "./Selected";
import { UnderlayView } from "./UnderlayView";

const READ_COUNT = 1000;
/** Uuids that an address holds. */
const AT_ONCE_COUNT = 100;

export function TopologyPage() {
  const [search, setSearch] = useSearchParams();
  const isUnderlay = search.get("view") === "underlay";
  const say = (changes: Readonly<Record<string, string>>) =>
    setSearch((now) => {
      const next = new URLSearchParams(now);
      for (const [name, value] of Object.entries(changes)) {
        if (value === "") next.delete(name);
        else next.set(name, value);
      }
      return next;
    }, { replace: true });
  return (
    <div className="page">
      <div className="page-head">
        <h1>Topology</h1>
        <Segmented
          aria-label="Picture"
          value={isUnderlay ? "underlay" : ""}
          options={[{ value: "", label: "Overlay" }, { value: "underlay", label: "Underlay" }]}
          onChange={(view) => say({ view, selected: "", source: "", destination: "" })}
        />
        <span className="form-note">{isUnderlay ? "Hosts and switches, and what passes between them" : "Virtual networks, policies and routers between them, and what passes"}</span>
        <span className="spread" />
        {!isUnderlay && <ProjectChoice project={search.get("project") ?? ""} onChoose={(project) => say({ project, selected: "" })} />}
      </div>
      {isUnderlay ? <UnderlayView key={`${search.get("source") ?? ""} ${search.get("destination") ?? ""}`} search={search} say={say} /> : <OverlayView search={search} say={say} />}
    </div>
  );
}

function useNetworks() {
  return useQuery({
    queryKey: ["list", "virtual-network", "topology"],
    queryFn: () => list("virtual-network", { fields: ["network_policy_refs", "network_ipam_refs"], sort: "fq_name", limit: READ_COUNT }),
  });
}

function ProjectChoice({ project, onChoose }: { readonly project: string; readonly onChoose: (project: string) => void }) {
  const networks = useNetworks();
  const projects = [...new Set((networks.data?.items ?? []).map(projectOf))].toSorted();
  return (
    <Select
      aria-label="Project"
      allowClear
      showSearch
      placeholder="All projects"
      value={project || null}
      style={{ width: 260 }}
      options={projects.map((value) => ({ value, label: value.split(":").join(" › ") }))}
      onChange={(value: string | null | undefined) => onChoose(value ?? "")}
    />
  );
}

interface ViewProps {
  readonly search: URLSearchParams;
  readonly say: (changes: Readonly<Record<string, string>>) => void;
}

function OverlayView({ search, say }: ViewProps) {
  const navigate = useNavigate();
  const project = search.get("project") ?? "";
  const selected = search.get("selected") ?? "";
  const networks = useNetworks();
  const policies = useQuery({
    queryKey: ["list", "network-policy", "topology"],
    queryFn: () => list("network-policy", { fields: ["network_policy_entries"], sort: "fq_name", limit: READ_COUNT }),
    retry: false,
  });
  const routers = useRouters();
  const overlay = useMemo(
    () => overlayOf(networks.data?.items ?? [], policies.data?.items ?? [], project, routers.data?.routers, routers.data?.joined),
    [networks.data, policies.data, project, routers.data],
  );
  const ports = usePorts(overlay);
  // Who may not ask analytics sees the picture without traffic.
  const rates = useRates("virtual-network").data ?? new Map();
  const edges = useFlowMap("vn", LATELY).data?.edges ?? [];
  const between = new Map<string, number>();
  for (const { from, to, bytes } of edges) between.set(pairKey(from, to), (between.get(pairKey(from, to)) ?? 0) + bytes);
  const over = (networks.data?.count ?? 0) - READ_COUNT;
  const told = { overlay, ports, rates, selected };
  return (
    <>
      {networks.isError && <Alert type="error" showIcon title={networks.error.message} />}
      {policies.isError && <Alert type="warning" showIcon title={`Policies are not shown: ${policies.error.message}`} />}
      {routers.isError && <Alert type="warning" showIcon title={`Routers are not shown: ${routers.error.message}`} />}
      {(overlay.leftOut > 0 || over > 0) && (
        <Alert type="info" showIcon title={`${(overlay.leftOut + Math.max(0, over)).toLocaleString("en")} networks more than fit: choose a project.`} />
      )}
      {networks.isLoading && <Spin />}
      {networks.isSuccess && overlay.networks.length === 0 && (
        <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description="There are no networks here yet.">
          {moment.get() === null && (
            <>
              <Button type="primary" onClick={() => void navigate("/guide")}>Build an example</Button>{" "}
              <Button onClick={() => void navigate("/o/virtual-network/new")}>Create a network</Button>
            </>
          )}
        </Empty>
      )}
      {overlay.networks.length > 0 && (
        <div className="map">
          <OverlayPicture {...told} between={between} onSelect={(key) => say({ selected: key })} />
          <Selected {...told} edges={edges} onClose={() => say({ selected: "" })} />
        </div>
      )}
    </>
  );
}

/** Logical routers, and the networks that their ports are in. */
function useRouters() {
  return useQuery({
    queryKey: ["list", "logical-router", "topology"],
    queryFn: async () => {
      const fields = ["virtual_machine_interface_refs", "virtual_network_refs", "logical_router_type"];
      const { items } = await list("logical-router", { fields, sort: "fq_name", limit: READ_COUNT });
      const uuids = items.flatMap((each) => uuidsIn(each["virtual_machine_interface_refs"]));
      const pages = await Promise.all(
        Array.from({ length: Math.ceil(uuids.length / AT_ONCE_COUNT) }, (_, index) =>
          list("virtual-machine-interface", {
            filter: [`uuid:in:${uuids.slice(index * AT_ONCE_COUNT, (index + 1) * AT_ONCE_COUNT).join(",")}`], fields: ["virtual_network_refs"], limit: AT_ONCE_COUNT,
          }),
        ),
      );
      const networkOf = new Map(pages.flatMap((page) => page.items.map((port) => [port.uuid, namesIn(port["virtual_network_refs"])] as const)));
      const joined = new Map(items.map((each) => [each.uuid, uuidsIn(each["virtual_machine_interface_refs"]).flatMap((uuid) => networkOf.get(uuid) ?? [])]));
      return { routers: items, joined };
    },
    retry: false,
  });
}

function uuidsIn(references: Json | undefined): string[] {
  return (isList(references) ? references.filter(isDocument) : []).map((each) => String(each["uuid"] ?? "")).filter(Boolean);
}

function usePorts(overlay: Overlay): ReadonlyMap<string, number> {
  const counts = useQueries({
    queries: overlay.networks.map(({ uuid }) => ({
      queryKey: ["related", "virtual-machine-interface", uuid, "count"],
      queryFn: () => count("virtual-machine-interface", [`virtual_network_refs:eq:${uuid}`]),
      retry: false,
    })),
  });
  return new Map(overlay.networks.flatMap(({ uuid }, index) => {
    const number = counts[index]?.data;
    return number === undefined ? [] : [[uuid, number] as const];
  }));
}
