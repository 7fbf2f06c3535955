/** How far the changes of the rows in sight have come: one question for all of them, when scrolling rests. */

import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";

import { call } from "../../api/client";
import { moment } from "../../api/moment";
import { type Condition, type Realised, realisedOf } from "./realised";

const REST_MS = 250;
const AGAIN_MS = 5000;
/** More than a screen has; the server answers for 200. */
const ASKED_MAX = 120;

/** `revision` is what the list is as of: after a change it is asked anew. */
export function useRealised(type: string, uuids: readonly string[], revision: number): ReadonlyMap<string, Realised> {
  const wanted = useRested(uuids.slice(0, ASKED_MAX).join(","));
  const found = useQuery({
    queryKey: ["realised", type, revision, wanted],
    queryFn: async ({ signal }) => {
      const query = new URLSearchParams({ type, uuids: wanted });
      const { items } = await call<{ items: { uuid: string; conditions: Condition[] }[] }>("GET", `/api/v1/conditions?${query.toString()}`, { signal });
      return new Map(items.map(({ uuid, conditions }) => [uuid, realisedOf(conditions)] as const));
    },
    // How far it has come now says nothing of what it was.
    enabled: wanted !== "" && moment.get() === null,
    refetchInterval: ({ state }) => ([...(state.data?.values() ?? [])].every(({ next }) => next === "none") ? false : AGAIN_MS),
    placeholderData: (before, query) => (query?.queryKey[1] === type ? before : undefined),
    structuralSharing: false,
    gcTime: 30_000,
    retry: false,
  });
  return found.data ?? NOTHING;
}

const NOTHING: ReadonlyMap<string, Realised> = new Map();

function useRested(value: string): string {
  const [rested, setRested] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setRested(value), REST_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return rested;
}
