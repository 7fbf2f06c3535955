/** How far an object's last change has come: accepted, derived, distributed, programmed. */

import { useQuery } from "@tanstack/react-query";
import { Tag, Tooltip } from "antd";

import { call } from "../../api/client";
import { moment } from "../../api/moment";
import type { Condition } from "./realised";

const LOOKS = { true: ["green", "✓"], false: ["red", "✗"], unknown: ["default", "?"] } as const;
const AGAIN_MS = 3000;

export function Conditions({ type, uuid }: { readonly type: string; readonly uuid: string }) {
  const found = useQuery({
    queryKey: ["object", type, uuid, "status"],
    queryFn: () => call<{ conditions: Condition[] }>("GET", `/api/v1/${type}/${uuid}/status`),
    refetchInterval: ({ state }) => (state.data?.conditions.every((each) => each.status === "true") ? false : AGAIN_MS),
    retry: false,
    // How far it has come now says nothing of what it was.
    enabled: moment.get() === null,
  });
  return (
    <div aria-label="How far its last change has come" role="group">
      {(found.data?.conditions ?? []).map((each) => {
        const [colour, mark] = LOOKS[each.status];
        return (
          <Tooltip key={each.type} title={`${each.detail} (${each.reason})`}>
            <Tag color={colour} tabIndex={0}>
              {mark} {each.type}
            </Tag>
          </Tooltip>
        );
      })}
    </div>
  );
}
