/** Users that the API itself keeps: who they are, which roles they have, where. */

import { DeleteOutlined, EditOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Input, Modal, Popconfirm, Select, Table } from "antd";
import { useState } from "react";
import { Link } from "react-router";

import { call, list } from "../../api/client";
import { useConsole } from "../../app/context";
import { ObjectPicker } from "../../forms/ObjectPicker";

interface User {
  readonly name: string;
  readonly roles: readonly string[];
  /** Its uuid without dashes or with. */
  readonly project: string | null;
}

const ROLES = ["admin", "member", "reader"];
const LIMIT = 10_000;

export function UsersPage() {
  const queries = useQueryClient();
  const { message } = App.useApp();
  const { identity } = useConsole();
  const isElsewhere = !identity.keeps_users;
  const [editing, setEditing] = useState<User | "new" | null>(null);
  const found = useQuery({ queryKey: ["users"], queryFn: async () => (await call<{ users: User[] }>("GET", "/api/v1/users")).users, enabled: !isElsewhere, retry: false });
  const projects = useQuery({ queryKey: ["list", "project", "names"], queryFn: () => list("project", { fields: [], limit: LIMIT }), retry: false });
  const names = new Map((projects.data?.items ?? []).map((each) => [each.uuid.replaceAll("-", ""), each.fq_name.join(" › ")]));
  const nameOf = (project: string | null) => (project === null ? "" : (names.get(project.replaceAll("-", "")) ?? project));
  const remove = async (name: string) => {
    try {
      await call("DELETE", `/api/v1/users/${encodeURIComponent(name)}`);
      await queries.invalidateQueries({ queryKey: ["users"] });
      message.success("Removed");
    } catch (error) {
      message.error(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <div className="page">
      <div className="page-head">
        <h1>Users</h1>
        <span className="form-note">What roles may do is said by <Link to="/o/api-access-list">access lists</Link></span>
        <span className="spread" />
        <Button type="primary" icon={<PlusOutlined />} disabled={found.data === undefined} onClick={() => setEditing("new")}>New user</Button>
      </div>
      {isElsewhere && <Alert type="info" showIcon title="This server keeps no users of its own: either nobody has to log in, or an identity service knows them." />}
      {found.isError && <Alert type="error" showIcon title={found.error.message} />}
      {found.data !== undefined && (
        <Table
          size="small"
          aria-label="Users"
          rowKey="name"
          pagination={found.data.length > 50 ? { pageSize: 50 } : false}
          dataSource={found.data}
          columns={[
            { title: "Name", dataIndex: "name", key: "name" },
            { title: "Roles", key: "roles", render: (_, user) => user.roles.join(", ") },
            { title: "Project", key: "project", render: (_, user) => nameOf(user.project) },
            {
              title: "", key: "tools", align: "right",
              render: (_, user) => (
                <>
                  <Button size="small" type="text" icon={<EditOutlined />} aria-label={`Edit ${user.name}`} onClick={() => setEditing(user)} />
                  <Popconfirm title={`Remove ${user.name}?`} okText="Remove" onConfirm={() => void remove(user.name)}>
                    <Button size="small" type="text" icon={<DeleteOutlined />} aria-label={`Remove ${user.name}`} />
                  </Popconfirm>
                </>
              ),
            },
          ]}
        />
      )}
      {editing !== null && <Editor key={editing === "new" ? "" : editing.name} user={editing === "new" ? null : editing} projectName={editing === "new" ? "" : nameOf(editing.project)} onClose={() => setEditing(null)} />}
    </div>
  );
}

interface EditorProps {
  readonly user: User | null;
  readonly projectName: string;
  readonly onClose: () => void;
}

function Editor({ user, projectName, onClose }: EditorProps) {
  const queries = useQueryClient();
  const { message } = App.useApp();
  const [name, setName] = useState(user?.name ?? "");
  const [password, setPassword] = useState("");
  const [roles, setRoles] = useState<readonly string[]>(user?.roles ?? ["member"]);
  const [project, setProject] = useState<readonly string[]>(projectName === "" ? [] : projectName.split(" › "));
  const [told, setTold] = useState("");
  const isBlocked = name.trim() === "" || (user === null && password === "");
  const save = async () => {
    const body = { roles, project: project.length === 0 ? null : project.join(":"), ...(password === "" ? {} : { password }) };
    try {
      if (user === null) await call("POST", "/api/v1/users", { body: { name: name.trim(), ...body } });
      else await call("PUT", `/api/v1/users/${encodeURIComponent(user.name)}`, { body });
      await queries.invalidateQueries({ queryKey: ["users"] });
      message.success("Saved");
      onClose();
    } catch (error) {
      setTold(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <Modal open title={user === null ? "New user" : `User ${user.name}`} okText="Save" okButtonProps={{ disabled: isBlocked }} onOk={() => void save()} onCancel={onClose}>
      <div className="form-row"><label htmlFor="user-name">Name</label><Input id="user-name" value={name} disabled={user !== null} autoComplete="off" onChange={(event) => setName(event.target.value)} /></div>
      <div className="form-row">
        <label htmlFor="user-password">{user === null ? "Password" : "New password"}</label>
        <Input.Password id="user-password" value={password} autoComplete="new-password" placeholder={user === null ? "" : "stays as it is"} onChange={(event) => setPassword(event.target.value)} />
      </div>
      <div className="form-row">
        <label htmlFor="user-roles">Roles</label>
        <Select id="user-roles" mode="tags" aria-label="Roles" value={[...roles]} style={{ width: "100%" }} options={ROLES.map((each) => ({ value: each, label: each }))} onChange={(next: string[]) => setRoles(next)} />
      </div>
      <div className="form-row"><label htmlFor="user-project">Project</label><ObjectPicker id="user-project" type="project" label="Project" value={project} onChange={(next) => setProject(next)} /></div>
      {told !== "" && <Alert type="error" showIcon role="alert" title={told} />}
    </Modal>
  );
}
