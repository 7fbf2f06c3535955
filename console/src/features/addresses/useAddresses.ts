/** Asks for subnets, how full they are, and who has which address of one. */

import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";

import { call, list, type Page } from "../../api/client";
import { moment } from "../../api/moment";
import type { ConfigObject } from "../../model/document";
import { ADDRESS_MEMBERS, type Held, heldOf, inOrder, isWithin } from "../objects/tabs/addresses";
import { type Holder, ofNetworks, ownOf, startOf, type Subnet, subnetsOf } from "./use";

/** Networks whose subnets are read, and counted, at once: each costs the server one question. */
const PAGE_NETWORKS = 100;
const AT_ONCE = 6;
const COUNTED_AGAIN_MS = 30_000;
const HELD_LIMIT = 5000;

interface Part {
  readonly subnets: readonly Subnet[];
  readonly counts: ReadonlyMap<string, number>;
  readonly networks: number;
  readonly ofNetworks: number;
  readonly next: string | null;
}

type Job = () => Promise<void>;

/** A browser has six connections to a server: more questions than these would only wait. */
async function allOf(jobs: Job[]): Promise<void> {
  const waiting = jobs.values();
  const work = async () => {
    // oxlint-disable-next-line no-await-in-loop -- one after the other is what bounds them
    for (const job of waiting) await job();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

/** A network that offers the subnets of a flat IPAM: the server counts them for it. */
async function networkOf(ipam: string, signal: AbortSignal): Promise<string | undefined> {
  const using = await list("virtual-network", { filter: [`network_ipam_refs:eq:${ipam}`, "address_allocation_mode:ne:user-defined-subnet-only"], fields: [], limit: 1 }, signal);
  return using.items[0]?.uuid;
}

async function counted(objects: readonly { readonly holder: Holder; readonly object: ConfigObject }[], signal: AbortSignal): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  // Counts are of now: the past has subnets only.
  if (moment.get() !== null) return counts;
  await allOf(objects.map(({ holder, object }) => async () => {
    const subnets = subnetsOf(holder, object);
    if (subnets.length === 0) return;
    const network = holder === "virtual-network" ? object.uuid : await networkOf(object.uuid, signal);
    if (network === undefined) return;
    const body = { subnet_list: subnets.map((each) => each.uuid) };
    const { ip_count_list } = await call<{ ip_count_list: number[] }>("POST", `/virtual-network/${network}/subnet-ip-count`, { body, signal });
    subnets.forEach((each, index) => counts.set(each.uuid, ip_count_list[index] ?? 0));
  }));
  return counts;
}

async function partOf(words: string, cursor: string, signal: AbortSignal): Promise<Part> {
  const named = words === "" ? [] : [`fq_name:contains:${words}`];
  const networks = await list("virtual-network", { filter: [...named, "network_ipam_refs:exists"], fields: ["network_ipam_refs"], sort: "fq_name", limit: PAGE_NETWORKS, ...(cursor === "" ? {} : { cursor }) }, signal);
  const flat: Page | null = cursor !== "" ? null : await list("network-ipam", { filter: [...named, "ipam_subnets:exists"], fields: ["ipam_subnets"], sort: "fq_name", limit: PAGE_NETWORKS }, signal);
  const objects = [
    ...networks.items.map((object) => ({ holder: "virtual-network" as const, object })),
    ...(flat?.items ?? []).map((object) => ({ holder: "network-ipam" as const, object })),
  ];
  return {
    subnets: objects.flatMap(({ holder, object }) => subnetsOf(holder, object)), counts: await counted(objects, signal),
    networks: networks.items.length, ofNetworks: networks.count, next: networks.next,
  };
}

/** Subnets of the networks and flat IPAMs with these words in their names. */
export function useSubnets(words: string) {
  return useInfiniteQuery({
    // Not of those that changes ask anew: a busy network would have all counted with every port.
    queryKey: ["subnet use", words],
    queryFn: ({ pageParam, signal }) => partOf(words, pageParam, signal),
    initialPageParam: "",
    getNextPageParam: ({ next }) => next,
    placeholderData: keepPreviousData,
    refetchInterval: COUNTED_AGAIN_MS,
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
