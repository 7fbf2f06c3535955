/** Asks who uses the console: a user of the API with password, or a token of its identity service. */

import { Alert, Button, Card, Form, Input, Tabs } from "antd";
import { useState } from "react";

import { Refused, token } from "../api/client";
import { logIn, whoami } from "../api/session";

interface Given {
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
}

async function enter(given: Given): Promise<void> {
  if (given.token === undefined) {
    await logIn(given.user ?? "", given.password ?? "");
    return;
  }
  token.set(given.token.trim());
  if ((await whoami()) === null) throw new Refused(401, "The API does not know this token");
}

export function Login({ onDone }: { readonly onDone: () => void }) {
  const [fault, setFault] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (given: Given) => {
    setBusy(true);
    setFault("");
    try {
      await enter(given);
      onDone();
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  const button = (
    <Button type="primary" htmlType="submit" block loading={busy}>
      Log in
    </Button>
  );
  const byPassword = (
    <Form layout="vertical" onFinish={(given: Given) => void submit(given)} requiredMark={false}>
      <Form.Item name="user" label="User" rules={[{ required: true, message: "a user name is needed" }]}>
        <Input autoComplete="username" autoFocus />
      </Form.Item>
      <Form.Item name="password" label="Password" rules={[{ required: true, message: "a password is needed" }]}>
        <Input.Password autoComplete="current-password" />
      </Form.Item>
      {button}
    </Form>
  );
  const byToken = (
    <Form layout="vertical" onFinish={(given: Given) => void submit(given)} requiredMark={false}>
      <Form.Item
        name="token"
        label="Token of Keystone or of an OpenID provider"
        rules={[{ required: true, message: "a token is needed" }]}
      >
        <Input.Password autoComplete="off" />
      </Form.Item>
      {button}
    </Form>
  );
  return (
    <main style={{ display: "grid", placeItems: "center", minHeight: "100%" }}>
      <Card title={<h1 style={{ fontSize: 18, margin: 0 }}>Skytrail</h1>} style={{ width: 360 }}>
        {fault !== "" && <Alert type="error" showIcon title={fault} role="alert" style={{ marginBottom: 12 }} />}
        <Tabs
          items={[
            { key: "password", label: "Password", children: byPassword },
            { key: "token", label: "Token", children: byToken },
          ]}
        />
      </Card>
    </main>
  );
}
