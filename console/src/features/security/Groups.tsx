/** What rules are made of: service groups and address groups of the scope, each with its contents and its editor. */

import { PlusOutlined } from "@ant-design/icons";
import { Button, Collapse, Table, Tag } from "antd";
import { Link } from "react-router";

import { moment } from "../../api/moment";
import { serviceText } from "../../forms/services";
import { type ConfigObject, isDocument, isList, type Json, lastName } from "../../model/document";
import { type Both, EVERYBODY, type Kind, ordered } from "../../policy/firewall";

interface Props {
  readonly both: Both;
  readonly scope: readonly string[];
}

const SECTIONS: readonly { kind: Kind; title: string; none: string }[] = [
  { kind: "service-group", title: "Service groups", none: "None yet. A service group names protocols and ports once, such as “web” for tcp 80 and tcp 443, for many rules." },
  { kind: "address-group", title: "Address groups", none: "None yet. An address group names prefixes outside of the system, such as an office, for rules to refer to." },
  { kind: "firewall-policy", title: "Firewall policies", none: "None yet. A policy is made with the first rule of a set; sets may share policies." },
];

export function Groups({ both, scope }: Props) {
  const isNow = moment.get() === null;
  const place = scope.length === 0 ? EVERYBODY : scope.join(":");
  const parent = scope.length === 0 ? `?parent_type=policy-management&parent=${EVERYBODY}` : `?parent_type=project&parent=${encodeURIComponent(place)}`;
  return (
    <Collapse
      items={SECTIONS.map(({ kind, title, none }) => {
        const rows = [...both.planned[kind]].filter(([name]) => name.startsWith(`${place}:`)).map(([name, object]) => ({ name, object }));
        return {
          key: kind,
          label: `${title} (${rows.length})`,
          children: (
            <>
              {rows.length === 0 ? <p className="form-note">{none}</p> : (
                <Table
                  size="small"
                  rowKey="name"
                  pagination={rows.length > 20 ? { pageSize: 20 } : false}
                  dataSource={rows}
                  columns={[
                    { title: "Name", key: "name", render: (_, { name, object }) => <Link to={`/o/${kind}/${object.uuid}${isNow ? "/edit" : ""}`}>{lastName(name.split(":"))}</Link> },
                    { title: "Has", key: "has", render: (_, { object }) => contentsOf(kind, object) },
                    { title: "", key: "state", render: (_, { object }) => object["draft_mode_state"] !== undefined && <Tag color="orange">draft: {String(object["draft_mode_state"])}</Tag> },
                  ]}
                />
              )}
              {isNow && <Link to={`/o/${kind}/new${parent}`}><Button size="small" icon={<PlusOutlined />}>New</Button></Link>}
            </>
          ),
        };
      })}
    />
  );
}

function contentsOf(kind: Kind, object: ConfigObject): string {
  if (kind === "firewall-policy") return ordered(object["firewall_rule_refs"]).map((name) => lastName(name.split(":"))).join(", ");
  if (kind === "service-group") return elements(object["service_group_firewall_service_list"], "firewall_service").map(serviceText).join(", ");
  return elements(object["address_group_prefix"], "subnet").map((each) => (isDocument(each) ? `${String(each["ip_prefix"])}/${String(each["ip_prefix_len"])}` : "")).join(", ");
}

function elements(value: Json | undefined, name: string): readonly Json[] {
  const held = isDocument(value) ? value[name] : undefined;
  return isList(held) ? held : [];
}
