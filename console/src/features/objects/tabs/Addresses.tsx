/** Addresses of a network: how full its subnets are, and who has which. */

import { useQuery } from "@tanstack/react-query";
import { Alert, Empty, Spin } from "antd";

import { call, list } from "../../../api/client";
import { moment } from "../../../api/moment";
import { OnlyNow } from "../../../app/OnlyNow";
import { rowsOf } from "../../../forms/subnets";
import type { ConfigObject } from "../../../model/document";
import { capacityText, heldOf, inOrder, shareOf, type Use, fillOf } from "./addresses";
import { HeldGrid } from "./HeldGrid";

const LIMIT = 10_000;

export function Addresses({ object }: { readonly object: ConfigObject }) {
  const isNow = moment.get() === null;
  const subnets = rowsOf(object["network_ipam_refs"]).map((each) => each.subnet);
  const counted = useQuery({
    queryKey: ["list", "instance-ip", "counts", object.uuid, subnets.map((each) => String(each["subnet_uuid"])).join()],
    queryFn: async () => {
      const body = { subnet_list: subnets.map((each) => String(each["subnet_uuid"])) };
      const { ip_count_list } = await call<{ ip_count_list: number[] }>("POST", `/virtual-network/${object.uuid}/subnet-ip-count`, { body });
      return subnets.map((each, index) => fillOf(each, ip_count_list[index] ?? 0));
    },
    enabled: subnets.length > 0 && isNow,
    retry: false,
  });
  const held = useQuery({
    queryKey: ["list", "instance-ip", "held", object.uuid],
    queryFn: async ({ signal }) => {
      const fields = ["virtual_machine_interface_refs"];
      const own = await list("instance-ip", { filter: [`virtual_network_refs:eq:${object.uuid}`], fields: [...fields, "instance_ip_address", "instance_ip_secondary", "service_instance_ip"], limit: LIMIT }, signal);
      const pools = await list("floating-ip-pool", { parent: object.uuid, fields: [], limit: LIMIT }, signal);
      const floating = await Promise.all(pools.items.map((pool) => list("floating-ip", { parent: pool.uuid, fields: [...fields, "floating_ip_address"], limit: LIMIT }, signal)));
      return inOrder([...own.items.map((each) => heldOf("instance-ip", each)), ...floating.flatMap((page) => page.items.map((each) => heldOf("floating-ip", each)))]);
    },
    retry: false,
  });
  if (subnets.length === 0) {
    return <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description="The network has no subnets of its own, so its ports get no address from it. Edit it to add one." />;
  }
  const failed = counted.error ?? held.error;
  return (
    <>
      {failed !== null && <Alert type="error" showIcon title={failed.message} />}
      {!isNow && <OnlyNow what="How many addresses were used is not kept; who had which is." />}
      {isNow && counted.data === undefined ? <Spin /> : <Subnets uses={counted.data ?? subnets.map((each) => fillOf(each, 0))} isCounted={isNow} />}
      <h2 style={{ fontSize: 15 }}>Who has which</h2>
      {held.data?.length === 0 && <p className="form-note">Nobody has an address yet: ports get theirs when they are made.</p>}
      {held.data !== undefined && held.data.length > 0 && <HeldGrid held={held.data} />}
    </>
  );
}

function Subnets({ uses, isCounted }: { readonly uses: readonly Use[]; readonly isCounted: boolean }) {
  return (
    <table className="steps">
      <thead>
        <tr><th scope="col">Subnet</th><th scope="col">Gateway</th><th scope="col">Gives from</th>{isCounted && <><th scope="col">Used</th><th scope="col">Free</th><th scope="col">Share</th></>}</tr>
      </thead>
      <tbody>
        {uses.map((each) => {
          const free = each.capacity - BigInt(each.used);
          return (
            <tr key={each.uuid}>
              <td className="mono">{each.prefix}</td>
              <td className="mono">{each.gateway}</td>
              <td>{each.pools === 0 ? "the whole prefix" : each.pools === 1 ? "one pool" : `${each.pools} pools`}</td>
              {isCounted && (
                <>
                  <td>{each.used.toLocaleString("en")} of {capacityText(each.capacity)}</td>
                  <td>{capacityText(free < 0n ? 0n : free)}</td>
                  <td><meter min={0} max={100} high={90} value={shareOf(each)} aria-label={`${each.prefix} is ${shareOf(each)} per cent full`} /> {shareOf(each)} %</td>
                </>
              )}
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
