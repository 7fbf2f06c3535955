/** Makes an application policy set: for the ports of an application, or for all of the project. */

import { PlusOutlined } from "@ant-design/icons";
import { useQueryClient } from "@tanstack/react-query";
import { Alert, Button, Input, Modal, Select } from "antd";
import { useState } from "react";

import { transact } from "../../api/client";
import { useRight } from "../../api/session";
import { useConsole } from "../../app/context";
import { nameFault } from "../../model/check";
import { EVERYBODY } from "../../policy/firewall";
import { typeOfTag } from "./matrix";

interface Props {
  readonly scope: readonly string[];
  readonly tags: readonly string[];
  readonly onMade: (name: string) => void;
}

export function NewSet({ scope, tags, onMade }: Props) {
  const queries = useQueryClient();
  const { identity } = useConsole();
  const right = useRight(identity, "application-policy-set", "create");
  const [isOpen, setIsOpen] = useState(false);
  const [name, setName] = useState("");
  const [tag, setTag] = useState("");
  const [fault, setFault] = useState("");
  const applications = tags.filter((each) => typeOfTag(each) === "application");
  const wrong = name === "" ? "" : nameFault(name);
  const make = async () => {
    const parent = scope.length === 0 ? [EVERYBODY] : scope;
    const to = tag.startsWith("global:") ? [tag.slice("global:".length)] : [...scope, tag];
    try {
      const object = {
        fq_name: [...parent, name],
        parent_type: scope.length === 0 ? "policy-management" : "project",
        ...(tag === "" ? {} : { tag_refs: [{ to }] }),
      };
      await transact([{ op: "create", type: "application-policy-set", object }]);
      await queries.invalidateQueries({ queryKey: ["list"] });
      setIsOpen(false);
      onMade([...parent, name].join(":"));
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <>
      <Button icon={<PlusOutlined />} disabled={!right.allowed} title={right.why} onClick={() => { setIsOpen(true); setName(""); setTag(""); setFault(""); }}>New set</Button>
      <Modal open={isOpen} title="New application policy set" okText="Create" okButtonProps={{ disabled: nameFault(name) !== "" }} onOk={() => void make()} onCancel={() => setIsOpen(false)}>
        <p className="form-note">A set holds for the ports with its application tag. Its rules are written in the matrix.</p>
        <div className="form-row"><label htmlFor="set-name">Name</label><div><Input id="set-name" value={name} onChange={(event) => setName(event.target.value)} />{wrong !== "" && <div className="form-fault" role="alert">{wrong}</div>}</div></div>
        <div className="form-row">
          <label htmlFor="set-application">Application</label>
          <Select id="set-application" aria-label="Application" value={tag || null} allowClear style={{ width: "100%" }} placeholder="none yet" notFoundContent="There are no tags of type application" options={applications.map((each) => ({ value: each, label: each }))} onChange={(next: string | undefined) => setTag(next ?? "")} />
        </div>
        {fault !== "" && <Alert type="error" showIcon role="alert" title={fault} />}
      </Modal>
    </>
  );
}
