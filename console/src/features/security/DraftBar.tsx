/** Changes that wait: what they would change, committed or discarded as a whole. */

import { useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Drawer, Popconfirm, Switch, Tooltip } from "antd";
import { useState } from "react";

import { call, transact } from "../../api/client";
import { type Both, changesOf } from "../../policy/firewall";
import type { Security } from "../../policy/load";
import { PlanTables } from "../objects/PlanPreview";
import { cellChanges } from "./matrix";

interface Props {
  readonly security: Security;
  readonly both: Both;
  readonly type: string;
  readonly mayChange: boolean;
}

export function DraftBar({ security, both, type, mayChange }: Props) {
  const { holder, isDrafting, tags } = security;
  const queries = useQueryClient();
  const { message } = App.useApp();
  const [isOpen, setIsOpen] = useState(false);
  const [isBusy, setIsBusy] = useState(false);
  const [fault, setFault] = useState("");
  const count = both.pending.length;
  const run = async (act: () => Promise<unknown>, told: string) => {
    setIsBusy(true);
    setFault("");
    try {
      await act();
      await queries.invalidateQueries({ queryKey: ["list"] });
      message.success(told);
      setIsOpen(false);
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error));
    } finally {
      setIsBusy(false);
    }
  };
  if (holder === undefined) return null;
  const isGlobal = holder.fq_name.length === 1;
  const turn = (on: boolean) =>
    run(
      () => transact([{ op: "patch", type: isGlobal ? "global-system-config" : "project", uuid: holder.uuid, object: { enable_security_policy_draft: on } }]),
      on ? "Changes are collected from now on" : "Changes are enforced at once from now on",
    );
  const settle = (action: "commit" | "discard") =>
    run(() => call("POST", "/security-policy-draft", { body: { scope_uuid: holder.uuid, action } }), action === "commit" ? "Committed" : "Discarded");
  return (
    <>
      <span className="strip">
        <Tooltip title={count > 0 ? "Commit or discard what waits first" : "Changes wait until they are committed together"}>
          <Switch aria-label="Collect changes as a draft" checked={isDrafting} disabled={!mayChange || count > 0} loading={isBusy} onChange={(on) => void turn(on)} />
        </Tooltip>
        {isDrafting ? (count === 0 ? "Draft: nothing waits" : `Draft: ${count} waiting`) : "Enforced at once"}
        {count > 0 && <Button onClick={() => setIsOpen(true)}>Review draft</Button>}
      </span>
      {fault !== "" && !isOpen && <Alert type="error" showIcon role="alert" title={fault} />}
      <Drawer
        open={isOpen}
        onClose={() => setIsOpen(false)}
        title="What the draft would change"
        size="large"
        extra={
          <span className="strip">
            <Popconfirm title="Drop everything that waits?" okText="Discard" onConfirm={() => void settle("discard")}>
              <Button danger disabled={!mayChange || isBusy}>Discard draft</Button>
            </Popconfirm>
            <Button type="primary" loading={isBusy} disabled={!mayChange} onClick={() => void settle("commit")}>Commit draft</Button>
          </span>
        }
      >
        {fault !== "" && <Alert type="error" showIcon role="alert" title={fault} />}
        <PlanTables plan={{ reachability: cellChanges(both.now, both.planned, type, tags).map((each) => ({ ...each })), changes: changesOf(both.pending) }} />
      </Drawer>
    </>
  );
}
