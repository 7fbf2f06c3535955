/** Says on every page that a part of history is missing in what is shown. */

import { Alert } from "antd";
import { useSyncExternalStore } from "react";

import { partial } from "../api/partial";

export function PartialBanner() {
  const nodes = useSyncExternalStore(partial.subscribe, partial.get);
  if (nodes === "") return null;
  return (
    <Alert
      banner
      type="warning"
      role="status"
      title={`Logs, flows and numbers are not all here: what these analytics nodes keep is missing: ${nodes}`}
    />
  );
}
