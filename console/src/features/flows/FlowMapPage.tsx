/** The service map: who talks to whom, what is denied and why, how much it is. */

import { Alert, Empty, Segmented, Select, Spin } from "antd";
import { useSearchParams } from "react-router";

import { RANGES } from "../../api/moment";
import { absence } from "../monitor/uves";
import { EdgePanel } from "./EdgePanel";
import { GROUPINGS, NODES_COUNT } from "./flows";
import { SankeyPicture } from "./SankeyPicture";
import { useFlowMap } from "./useFlows";
import { VerdictPicture } from "./VerdictPicture";

export function FlowMapPage() {
  const [search, setSearch] = useSearchParams();
  const by = search.get("by") ?? "vn";
  const from = search.get("from") ?? "now-1h";
  const view = search.get("view") ?? "map";
  const selected = search.get("selected") ?? "";
  const isDenied = search.get("only") === "denied";
  const found = useFlowMap(by, from);
  const say = (name: string, value: string) =>
    setSearch((now) => {
      const next = new URLSearchParams(now);
      if (value === "") next.delete(name);
      else next.set(name, value);
      if (name === "by") next.delete("selected");
      return next;
    }, { replace: true });
  const all = found.data ?? { nodes: [], edges: [], leftOut: 0 };
  const map = isDenied ? { ...all, edges: all.edges.filter((each) => each.denied > 0) } : all;
  const edge = all.edges.find((each) => each.key === selected);
  const pictureOf = { map, selected, onSelect: (key: string) => say("selected", key) };
  return (
    <div className="page">
      <div className="page-head">
        <h1>Service map</h1>
        <span className="spread" />
        <Segmented aria-label="Picture" value={view} options={[{ value: "map", label: "Verdicts" }, { value: "traffic", label: "Traffic" }]} onChange={(value) => say("view", value === "map" ? "" : value)} />
        <Segmented aria-label="Which" value={isDenied ? "denied" : ""} options={[{ value: "", label: "All" }, { value: "denied", label: "Denied only" }]} onChange={(value) => say("only", value)} />
        <Select aria-label="Between" prefix="between" value={by} style={{ width: 170 }} options={GROUPINGS.map((each) => ({ ...each }))} onChange={(value: string) => say("by", value === "vn" ? "" : value)} />
        <Select aria-label="Time" prefix="last" value={from} style={{ width: 130 }} options={RANGES.map((each) => ({ ...each }))} onChange={(value: string) => say("from", value)} />
      </div>
      {found.isError && <Alert type="info" showIcon title={absence(found.error)} />}
      {found.isLoading && <Spin />}
      {all.leftOut > 0 && <Alert type="info" showIcon title={`${all.leftOut} more are not shown: the ${NODES_COUNT} busiest are.`} />}
      {found.isSuccess && map.edges.length === 0 && (
        <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description={isDenied ? "Nothing was denied in this time." : "No session ended in this time. Hosts tell of sessions when they end; a longer time?"} />
      )}
      {map.edges.length > 0 && (
        <div className="map">
          {view === "traffic" ? <SankeyPicture {...pictureOf} /> : <VerdictPicture {...pictureOf} />}
          {edge !== undefined && <EdgePanel key={edge.key} by={by} from={from} edge={edge} onClose={() => say("selected", "")} />}
        </div>
      )}
    </div>
  );
}
