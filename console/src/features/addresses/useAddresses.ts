/** Asks for subnets, how full they are, and who has which address of one. */

import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";

import { call, list, type Page } from "../../api/client";
import { moment } from "../../api/moment";
import { ADDRESS_MEMBERS, type Held, heldOf, inOrder, isWithin } from "../objects/tabs/addresses";
import { type Counted, ofNetworks, ownOf, type Row, rowOf, startOf, type Subnet, subnetsOf, uncounted } from "./use";

/** Subnets, or networks of the past, that come at once. */
export const PAGE = 100;
const COUNTED_AGAIN_MS = 30_000;
const HELD_LIMIT = 5000;

interface Part {
  readonly rows: readonly Row[];
  /** How many there are of what is paged: subnets, or networks of the past. */
  readonly count: number;
  /** Of the next part; none: this is the last. */
  readonly next: string | null;
}

/** The fullest first, of all: the server looks at every one for each answer. */
async function counted(words: string, from: string, signal: AbortSignal): Promise<Part> {
  const offset = Number(from || 0);
  const query = new URLSearchParams({ q: words, limit: String(PAGE), offset: String(offset) });
  const { count, items } = await call<{ count: number; items: Counted[] }>("GET", `/api/v1/subnet-use?${query.toString()}`, { signal });
  const next = offset + items.length;
  return { rows: items.map(rowOf), count, next: next < count && items.length > 0 ? String(next) : null };
}

/** What there was; how much of it was used is not kept. */
async function bygone(words: string, cursor: string, signal: AbortSignal): Promise<Part> {
  const named = words === "" ? [] : [`fq_name:contains:${words}`];
  const networks = await list("virtual-network", { filter: [...named, "network_ipam_refs:exists"], fields: ["network_ipam_refs"], sort: "fq_name", limit: PAGE, ...(cursor === "" ? {} : { cursor }) }, signal);
  const flat: Page | null = cursor !== "" ? null : await list("network-ipam", { filter: [...named, "ipam_subnets:exists"], fields: ["ipam_subnets"], sort: "fq_name", limit: PAGE }, signal);
  const subnets = [...networks.items.flatMap((object) => subnetsOf("virtual-network", object)), ...(flat?.items ?? []).flatMap((object) => subnetsOf("network-ipam", object))];
  return { rows: subnets.map(uncounted), count: networks.count, next: networks.next };
}

/** Subnets of the networks and flat IPAMs with these words in their names. */
export function useSubnets(words: string) {
  return useInfiniteQuery({
    // Not of those that changes ask anew: a busy network would have all counted with every port.
    queryKey: ["subnet use", words],
    queryFn: ({ pageParam, signal }) => (moment.get() === null ? counted(words, pageParam, signal) : bygone(words, pageParam, signal)),
    initialPageParam: "",
    getNextPageParam: ({ next }) => next,
    placeholderData: keepPreviousData,
    refetchInterval: moment.get() === null && COUNTED_AGAIN_MS,
    retry: false,
  });
}

async function networksOf({ holder, holderUuid, holderName }: Subnet, signal: AbortSignal): Promise<Set<string>> {
  if (holder === "virtual-network") return new Set([holderName.join(":")]);
  const using = await list("virtual-network", { filter: [`network_ipam_refs:eq:${holderUuid}`], fields: [], limit: HELD_LIMIT }, signal);
  return new Set(using.items.map((each) => each.fq_name.join(":")));
}

export interface Holders {
  readonly held: readonly Held[];
  readonly isWhole: boolean;
}

/** Who has which address of a subnet. */
export function useHolders(subnet: Subnet) {
  return useQuery({
    queryKey: ["list", "instance-ip", "of subnet", subnet.uuid],
    queryFn: async ({ signal }): Promise<Holders> => {
      const networks = await networksOf(subnet, signal);
      const refs = ["virtual_machine_interface_refs"];
      const own = await list("instance-ip", { filter: [`subnet_uuid:eq:${subnet.uuid}`], fields: [...refs, "instance_ip_address", "instance_ip_secondary", "service_instance_ip"], limit: HELD_LIMIT }, signal);
      const start = startOf(subnet.document);
      const outside = await Promise.all((["floating-ip", "alias-ip"] as const).map(async (type) => {
        const member = ADDRESS_MEMBERS[type];
        const found = await list(type, { filter: start === "" ? [] : [`${member}:prefix:${start}`], fields: [...refs, member], limit: HELD_LIMIT }, signal);
        return { held: ofNetworks(type, found.items, networks), isWhole: found.count <= HELD_LIMIT };
      }));
      const found = [...own.items.map((each) => heldOf("instance-ip", each)), ...outside.flatMap((each) => each.held)].filter((each) => isWithin(subnet.document, each.address));
      return { held: inOrder([...ownOf(subnet), ...found]), isWhole: own.count <= HELD_LIMIT && outside.every((each) => each.isWhole) };
    },
    retry: false,
  });
}
