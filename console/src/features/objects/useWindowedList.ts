/** A list of any length of which only what is looked at is fetched.
 *
 * The first page names the revision; the others are asked for as of it, so that nothing comes twice.
 * A cursor is `revision.offset` (docs/native-api.md): pages can be fetched in any order.
 */

import { keepPreviousData, useQueries, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";

import { list, type Query, Refused } from "../../api/client";
import type { ConfigObject } from "../../model/document";

export const PAGE_ROWS = 100;
/** How far objects have come changes without a change of theirs: lists by it are asked for again. */
const JUDGED_AGAIN_MS = 10_000;
const GONE = 410;

function isByRealised({ realised = "", sort = "" }: Query): boolean {
  return realised !== "" || sort.endsWith("realised");
}

export interface WindowedList {
  readonly count: number;
  readonly revision: number;
  readonly isLoading: boolean;
  readonly error: Error | null;
  readonly row: (index: number) => ConfigObject | undefined;
}

export function useWindowedList(type: string, query: Query, first: number, last: number): WindowedList {
  const asked = JSON.stringify(query);
  const head = useQuery({
    queryKey: ["list", type, asked],
    queryFn: ({ signal }) => list(type, { ...query, limit: PAGE_ROWS }, signal),
    placeholderData: keepPreviousData,
    refetchInterval: isByRealised(query) ? JUDGED_AGAIN_MS : false,
  });
  // The server's pages are of one judgement, which each first page makes anew.
  const judged = isByRealised(query) ? head.dataUpdatedAt : 0;
  const revision = head.data?.revision ?? 0;
  const count = head.data?.count ?? 0;
  const wanted = pagesOf(first, Math.min(last, count - 1)).filter((page) => page > 0);
  const pages = useQueries({
    queries: wanted.map((page) => ({
      queryKey: ["page", type, asked, revision, judged, page],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        list(type, { ...query, limit: PAGE_ROWS, cursor: `${revision}.${page * PAGE_ROWS}` }, signal),
      staleTime: Infinity,
      gcTime: 30_000,
      retry: (tries: number, error: Error) => !isGone(error) && tries < 2,
    })),
  });
  const kept = useKept(`${type} ${asked}`);
  if (head.data !== undefined) kept.set(0, head.data.items);
  wanted.forEach((page, index) => {
    const found = pages[index]?.data;
    if (found !== undefined) kept.set(page, found.items);
  });
  const row = (index: number) => kept.get(Math.floor(index / PAGE_ROWS))?.[index % PAGE_ROWS];
  // A list that the server no longer keeps is begun anew by the next first page.
  const error = head.error ?? pages.find((page) => page.error !== null && !isGone(page.error))?.error ?? null;
  return { count, revision, isLoading: head.isLoading, error, row };
}

function isGone(error: Error): boolean {
  return error instanceof Refused && error.status === GONE;
}

/** New for each key: another list has other rows. */
function emptyPages(_key: string): Map<number, readonly ConfigObject[]> {
  return new Map();
}

/** What was shown last, page by page: a new revision replaces rows, it does not blank them. */
function useKept(key: string): Map<number, readonly ConfigObject[]> {
  return useMemo(() => emptyPages(key), [key]);
}

export function pagesOf(first: number, last: number): number[] {
  if (last < first) return [];
  const [from, to] = [Math.floor(first / PAGE_ROWS), Math.floor(last / PAGE_ROWS)];
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}
