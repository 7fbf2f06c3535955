/** How full subnets are, of all networks and flat IPAMs, and who has which address of one. */

import { Alert, Button, Empty, Input, Spin, Table } from "antd";
import { useDeferredValue } from "react";
import { Link, useSearchParams } from "react-router";

import { moment } from "../../api/moment";
import { lastName } from "../../model/document";
import { capacityText, shareOf } from "../objects/tabs/addresses";
import { HeldGrid } from "../objects/tabs/HeldGrid";
import { holderText, type Row, type Subnet } from "./use";
import { PAGE, useHolders, useSubnets } from "./useAddresses";

export function AddressesPage() {
  const [search, setSearch] = useSearchParams();
  const words = search.get("q") ?? "";
  const found = useSubnets(useDeferredValue(words.trim()));
  const parts = found.data?.pages ?? [];
  const rows = parts.flatMap((each) => each.rows);
  const isNow = moment.get() === null;
  const chosen = rows.find((each) => each.uuid === search.get("subnet"));
  const count = parts[0]?.count ?? 0;
  const set = (name: string, value: string) => {
    const next = new URLSearchParams(search);
    if (value === "") next.delete(name);
    else next.set(name, value);
    return next;
  };
  return (
    <div className="page">
      <div className="page-head">
        <h1>Address use</h1>
        <span className="form-note">Subnets of all networks and flat IPAMs{isNow ? ", the fullest first" : ". How much of them is used is known of now only"}</span>
        <span className="spread" />
        {isNow && <Button loading={found.isFetching} onClick={() => void found.refetch()}>Count again</Button>}
      </div>
      <Input allowClear aria-label="Networks or IPAMs by a part of their full name" placeholder="Part of a project's, network's or IPAM's name" style={{ width: 360 }} value={words} onChange={(event) => setSearch(set("q", event.target.value), { replace: true })} />
      {found.isError && <Alert type="error" showIcon title={found.error.message} />}
      {found.isPending && <Spin />}
      {found.data !== undefined && rows.length === 0 && <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description={words === "" ? "No network has a subnet yet. Add one to a network: its ports get their addresses from it." : "No network or IPAM with this in its name has a subnet."} />}
      {rows.length > 0 && <Subnets rows={rows} chosen={chosen?.uuid ?? ""} to={(uuid) => `?${set("subnet", uuid).toString()}`} />}
      {found.hasNextPage && (
        <div className="strip">
          <Button size="small" loading={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>{isNow ? "Less full ones" : "Read more networks"}</Button>
          <span className="form-note">{isNow ? `The fullest ${rows.length.toLocaleString("en")} of ${count.toLocaleString("en")} subnets are here` : `Subnets of ${(parts.length * PAGE).toLocaleString("en")} of ${count.toLocaleString("en")} networks are here`}</span>
        </div>
      )}
      {chosen !== undefined && <Holding subnet={chosen} />}
    </div>
  );
}

interface SubnetsProps {
  readonly rows: readonly Row[];
  readonly chosen: string;
  readonly to: (uuid: string) => string;
}

function Subnets({ rows, chosen, to }: SubnetsProps) {
  return (
    <Table
      size="small"
      aria-label="Subnets"
      rowKey={(row) => `${row.holderUuid} ${row.uuid}`}
      pagination={rows.length > 15 ? { pageSize: 15, showSizeChanger: false } : false}
      dataSource={[...rows]}
      columns={[
        { title: "Subnet", key: "prefix", render: (_, row) => <Link className="mono" to={to(row.uuid)} replace aria-current={row.uuid === chosen ? "true" : undefined}>{row.prefix}</Link> },
        { title: "Of", key: "of", render: (_, row) => <><Link to={`/o/${row.holder}/${row.holderUuid}`}>{holderText(row)}</Link> <span className="form-note">{row.holderName.slice(0, -1).join(" › ")}</span></> },
        { title: "Used", key: "used", align: "right", render: (_, { use }) => (use === undefined ? "not counted" : `${use.used.toLocaleString("en")} of ${capacityText(use.capacity)}`) },
        { title: "Free", key: "free", align: "right", render: (_, { use }) => use !== undefined && capacityText(use.capacity > BigInt(use.used) ? use.capacity - BigInt(use.used) : 0n) },
        { title: "Share", key: "share", width: 190, render: (_, { use, prefix, holderName }) => use !== undefined && <><meter min={0} max={100} high={90} value={shareOf(use)} aria-label={`${prefix} of ${lastName(holderName)} is ${shareOf(use)} per cent full`} /> {shareOf(use)} %</> },
      ]}
    />
  );
}

function Holding({ subnet }: { readonly subnet: Subnet & { readonly prefix: string } }) {
  const { data, error } = useHolders(subnet);
  return (
    <section aria-label={`Addresses of ${subnet.prefix}`}>
      <h2 style={{ fontSize: 15 }}>Who has which of {subnet.prefix} of {holderText(subnet)}</h2>
      {error !== null && <Alert type="error" showIcon title={error.message} />}
      {data === undefined && error === null && <Spin />}
      {data !== undefined && !data.isWhole && <p className="form-note">There are more addresses than are shown: look for others in the list of <Link to={`/o/instance-ip?q=subnet_uuid:eq:${subnet.uuid}`}>instance IPs</Link>.</p>}
      {data !== undefined && data.held.length > 0 && <HeldGrid held={data.held} />}
      {data?.held.length === 0 && <p className="form-note">Nobody has an address of it.</p>}
    </section>
  );
}
