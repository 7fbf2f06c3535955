/** Who changed what, when, from what to what; and the way back. */

import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Modal, Table, Tag } from "antd";
import { useState } from "react";
import { Link } from "react-router";

import { asOf, call } from "../../api/client";
import { moment } from "../../api/moment";
import { typeTitle } from "../../model/catalog";
import { type Document, lastName } from "../../model/document";
import { useConsole } from "../../app/context";
import { travel } from "../../app/TimeMachine";
import { FieldChange, type MemberChange } from "../objects/FieldChange";
import { PlanTables } from "../objects/PlanPreview";

interface Change {
  readonly op: string;
  readonly type: string;
  readonly uuid: string;
  readonly fq_name: readonly string[];
  readonly fields?: readonly MemberChange[];
}

interface Entry {
  readonly change: string;
  readonly at: string;
  readonly by: string;
  readonly request?: string;
  readonly operations: readonly Change[];
}

interface EntryPage {
  readonly entries: readonly Entry[];
  readonly next: string | null;
}

const SHOWN_COUNT = 6;
const COLOURS: Readonly<Record<string, string>> = { create: "green", delete: "red" };

export function HistoryTable({ object }: { readonly object?: string }) {
  const [reverting, setReverting] = useState("");
  const about = object === undefined ? "" : `&object=${object}`;
  const found = useInfiniteQuery({
    queryKey: ["history", object ?? "all"],
    queryFn: ({ pageParam }) => call<EntryPage>("GET", `/api/v1/history?limit=30${about}${pageParam}`),
    initialPageParam: asOf("&"),
    getNextPageParam: (page) => (page.next === null ? undefined : `&cursor=${page.next}`),
  });
  if (found.isError) return <Alert type="error" title={found.error.message} />;
  const entries = found.data?.pages.flatMap((page) => page.entries) ?? [];
  return (
    <>
      <Table
        size="small"
        loading={found.isLoading}
        rowKey="change"
        pagination={false}
        dataSource={entries}
        columns={[
          { title: "Change", dataIndex: "change", width: 90 },
          { title: "At (UTC)", dataIndex: "at", width: 170, render: (at: string) => at.slice(0, 19).replace("T", " ") },
          { title: "By", dataIndex: "by", width: 110 },
          { title: "What", key: "what", render: (entry: Entry) => <Changes entry={entry} /> },
          {
            title: "",
            key: "revert",
            width: 170,
            render: (entry: Entry) => (
              <>
                <Button size="small" type="link" aria-label={`See it then: ${entry.change}`} title="The whole console as it was then" onClick={() => travel(`${entry.at}Z`)}>See it then</Button>
                {moment.get() === null && (
                  <Button size="small" aria-label={`Revert ${entry.change}`} onClick={() => setReverting(entry.change)}>Revert</Button>
                )}
              </>
            ),
          },
        ]}
      />
      {found.hasNextPage && (
        <Button style={{ marginTop: 12 }} loading={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>
          Older
        </Button>
      )}
      {reverting !== "" && <Revert change={reverting} onClose={() => setReverting("")} />}
    </>
  );
}

function Changes({ entry }: { readonly entry: Entry }) {
  const { catalog } = useConsole();
  const shown = entry.operations.slice(0, SHOWN_COUNT);
  return (
    <>
      {shown.map((each) => (
        <div key={`${each.op} ${each.uuid}`}>
          <Tag color={COLOURS[each.op] ?? "blue"}>{each.op}</Tag>
          {typeTitle(each.type)} {catalog.objects[each.type] === undefined
            ? lastName(each.fq_name)
            : <Link style={{ textDecoration: "underline" }} to={`/o/${each.type}/${each.uuid}`}>{lastName(each.fq_name)}</Link>}
          {(each.fields ?? []).slice(0, SHOWN_COUNT).map((field) => (
            <FieldChange key={field.path} change={field} most={SHOWN_COUNT} />
          ))}
        </div>
      ))}
      {entry.operations.length > SHOWN_COUNT && <span className="form-note">and {entry.operations.length - SHOWN_COUNT} more</span>}
    </>
  );
}

function Revert({ change, onClose }: { readonly change: string; readonly onClose: () => void }) {
  const queries = useQueryClient();
  const { message } = App.useApp();
  const [plan, setPlan] = useState<Document | null>(null);
  const [fault, setFault] = useState("");
  const ask = async (isTrial: boolean) => {
    setFault("");
    try {
      const reply = await call<Document>("POST", `/api/v1/history/${change}/revert${isTrial ? "?dry_run=true" : ""}`);
      if (isTrial) {
        setPlan(reply);
        return;
      }
      message.success(`${change} reverted`);
      await queries.invalidateQueries({ queryKey: ["history"] });
      onClose();
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <Modal
      open
      width={760}
      title={`Revert ${change}?`}
      okText={plan === null ? "Show what would change" : "Revert"}
      onOk={() => void ask(plan === null)}
      onCancel={onClose}
    >
      {plan === null ? <p>The inverse is made as a new change; it is refused where something was changed since.</p> : <PlanTables plan={plan} />}
      {fault !== "" && <Alert type="error" showIcon title={fault} role="alert" />}
    </Modal>
  );
}
