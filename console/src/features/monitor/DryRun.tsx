/** Tries an alarm rule over what is kept of the past, before it is made or changed: nothing is raised. */

import { ExperimentOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Alert, Button, Drawer, Segmented, Table } from "antd";
import { useState } from "react";

import { call } from "../../api/client";
import { moment } from "../../api/moment";
import type { Document } from "../../model/document";
import { raisingsOf, type Raising, type Tried } from "./alarms";
import { absence } from "./uves";

const SPANS = [
  { value: "1h", label: "1 hour" },
  { value: "6h", label: "6 hours" },
  { value: "1d", label: "1 day" },
  { value: "7d", label: "7 days" },
];

interface Props {
  /** The alarm object as it would be. */
  readonly rule: Document;
  readonly disabled?: boolean;
}

export function DryRun({ rule, disabled = false }: Props) {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <>
      <Button icon={<ExperimentOutlined />} disabled={disabled} onClick={() => setIsOpen(true)}>Try over the past</Button>
      <Drawer open={isOpen} onClose={() => setIsOpen(false)} title="When this rule would have raised alarms" size={900} destroyOnHidden>
        <Result rule={rule} />
      </Drawer>
    </>
  );
}

function Result({ rule }: { readonly rule: Document }) {
  const [last, setLast] = useState("1h");
  const past = moment.get();
  const found = useQuery({
    queryKey: ["dry-run", last, rule],
    queryFn: ({ signal }) => call<Tried>("POST", "/api/v1/analytics/alarms/dry-run", { body: { rule, last, ...(past === null ? {} : { to: past.time }) }, signal }),
    retry: false,
    gcTime: 0,
  });
  return (
    <div className="page" style={{ padding: 0 }}>
      <Segmented aria-label="Time" value={last} options={SPANS} onChange={setLast} />
      {found.isError && <Alert type="error" showIcon title={absence(found.error)} />}
      {found.data !== undefined && <p role="status" style={{ margin: 0 }}>{summary(found.data)}</p>}
      {!found.isError && (
        <Table<Raising>
          size="small"
          loading={found.isLoading}
          rowKey="key"
          dataSource={found.data === undefined ? [] : raisingsOf(found.data)}
          pagination={(found.data?.alarms.length ?? 0) > 20 ? { pageSize: 20, showSizeChanger: false } : false}
          locale={{ emptyText: "It would have raised no alarm" }}
          columns={[
            { title: "Raised (UTC)", dataIndex: "raised" },
            { title: "Cleared", dataIndex: "cleared" },
            { title: "Of", key: "of", render: (each: Raising) => <>{each.name} <span className="form-note">{each.table}</span></> },
            { title: "By", dataIndex: "reasons", render: (reasons: readonly string[]) => reasons.map((reason) => <div key={reason}>{reason}</div>) },
          ]}
        />
      )}
    </div>
  );
}

function summary({ alarms, alarms_count: count, entities_count: entities, steps_count: steps, every_s: every, cut_count: cut }: Tried): string {
  const raised = count === 1 ? "1 alarm" : `${count} alarms`;
  const shown = alarms.length < count ? `, ${alarms.length} are shown` : "";
  const lost = cut > 0 ? ` ${cut} values were too long to be kept: they count as empty.` : "";
  return `${raised}${shown}, of ${entities} entities with ${steps} kept changes. What changes all the time is kept every ${every} s: shorter peaks are not seen.${lost}`;
}
