/** Brings objects in from a file: shown first, then made so as a whole. */

import { UploadOutlined } from "@ant-design/icons";
import { useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Input, Upload } from "antd";
import { useState } from "react";

import { type Operation, Refused, transact } from "../../api/client";
import { useConsole } from "../../app/context";
import { PlanPreview } from "./PlanPreview";
import { operationsOf } from "./transfer";

const EXAMPLE = `[
  {"type": "virtual-network", "fq_name": ["default-domain", "default-project", "blue"], "mtu": 9000}
]`;

export function ImportPage() {
  const { catalog } = useConsole();
  const { message } = App.useApp();
  const queries = useQueryClient();
  const [text, setText] = useState("");
  const [told, setTold] = useState("");
  const [isBusy, setIsBusy] = useState(false);
  const [operations, fault] = parsed(text, (type) => catalog.objects[type] !== undefined);
  const go = async () => {
    setIsBusy(true);
    try {
      await transact(operations);
      await queries.invalidateQueries({ queryKey: ["list"] });
      message.success(`${operations.length} imported`);
      setText("");
    } catch (error) {
      setTold(error instanceof Refused ? error.message : String(error));
    } finally {
      setIsBusy(false);
    }
  };
  return (
    <div className="page">
      <div className="page-head">
        <h1>Import</h1>
        <span className="form-note">JSON, as the lists export it: what is not there is created, what is there becomes so. All of it or nothing.</span>
        <span className="spread" />
        <PlanPreview operations={operations} disabled={operations.length === 0} />
        <Button type="primary" disabled={operations.length === 0} loading={isBusy} onClick={() => void go()}>
          Import {operations.length > 0 ? operations.length : ""}
        </Button>
      </div>
      {told !== "" && <Alert type="error" showIcon role="alert" title={told} closable={{ onClose: () => setTold("") }} />}
      {fault !== "" && <Alert type="warning" showIcon title={fault} />}
      <Upload
        accept="application/json,.json"
        showUploadList={false}
        beforeUpload={async (file) => {
          setText(await file.text());
          return false;
        }}
      >
        <Button icon={<UploadOutlined />}>Choose a file</Button>
      </Upload>
      <Input.TextArea
        className="mono"
        aria-label="Objects as JSON"
        value={text}
        placeholder={EXAMPLE}
        autoSize={{ minRows: 14, maxRows: 32 }}
        onChange={(event) => setText(event.target.value)}
      />
    </div>
  );
}

function parsed(text: string, known: (type: string) => boolean): [Operation[], string] {
  if (text.trim() === "") return [[], ""];
  try {
    return [operationsOf(text, known), ""];
  } catch (error) {
    return [[], error instanceof Error ? error.message : String(error)];
  }
}
