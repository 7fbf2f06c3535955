/** Networks by project, the policies between them, how many ports each has; every part leads on. */

import { useQueries, useQuery } from "@tanstack/react-query";
import { Alert, Button, Empty, Select, Spin } from "antd";
import { useMemo } from "react";
import { useNavigate, useSearchParams } from "react-router";

import { count, list } from "../../api/client";
import { type Overlay, overlayOf, projectOf } from "./overlay";
import { OverlayPicture } from "./OverlayPicture";
import { Selected } from "./Selected";

const READ_COUNT = 1000;

export function TopologyPage() {
  const [search, setSearch] = useSearchParams();
  const navigate = useNavigate();
  const project = search.get("project") ?? "";
  const selected = search.get("selected") ?? "";
  const networks = useQuery({
    queryKey: ["list", "virtual-network", "topology"],
    queryFn: () => list("virtual-network", { fields: ["network_policy_refs", "network_ipam_refs"], sort: "fq_name", limit: READ_COUNT }),
  });
  const policies = useQuery({
    queryKey: ["list", "network-policy", "topology"],
    queryFn: () => list("network-policy", { fields: ["network_policy_entries"], sort: "fq_name", limit: READ_COUNT }),
    retry: false,
  });
  const overlay = useMemo(
    () => overlayOf(networks.data?.items ?? [], policies.data?.items ?? [], project),
    [networks.data, policies.data, project],
  );
  const ports = usePorts(overlay);
  const say = (name: string, value: string) =>
    setSearch((now) => {
      const next = new URLSearchParams(now);
      if (value === "") next.delete(name);
      else next.set(name, value);
      if (name === "project") next.delete("selected");
      return next;
    }, { replace: true });
  const projects = [...new Set((networks.data?.items ?? []).map(projectOf))].toSorted();
  const over = (networks.data?.count ?? 0) - READ_COUNT;
  return (
    <div className="page">
      <div className="page-head">
        <h1>Topology</h1>
        <span className="form-note">Virtual networks and the policies between them; made from the configuration, live</span>
        <span className="spread" />
        <Select
          aria-label="Project"
          allowClear
          showSearch
          placeholder="All projects"
          value={project || null}
          style={{ width: 260 }}
          options={projects.map((value) => ({ value, label: value.split(":").join(" › ") }))}
          onChange={(value: string | null | undefined) => say("project", value ?? "")}
        />
      </div>
      {networks.isError && <Alert type="error" showIcon title={networks.error.message} />}
      {policies.isError && <Alert type="warning" showIcon title={`Policies are not shown: ${policies.error.message}`} />}
      {(overlay.leftOut > 0 || over > 0) && (
        <Alert type="info" showIcon title={`${(overlay.leftOut + Math.max(0, over)).toLocaleString("en")} networks more than fit: choose a project.`} />
      )}
      {networks.isLoading && <Spin />}
      {networks.isSuccess && overlay.networks.length === 0 && (
        <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description="There are no networks here yet.">
          <Button type="primary" onClick={() => void navigate("/guide")}>Build an example</Button>{" "}
          <Button onClick={() => void navigate("/o/virtual-network/new")}>Create a network</Button>
        </Empty>
      )}
      {overlay.networks.length > 0 && (
        <div className="map">
          <OverlayPicture overlay={overlay} ports={ports} selected={selected} onSelect={(key) => say("selected", key)} />
          <Selected overlay={overlay} ports={ports} selected={selected} onClose={() => say("selected", "")} />
        </div>
      )}
    </div>
  );
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
