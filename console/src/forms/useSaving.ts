/** Carries a transaction out for an editor: busy meanwhile, closed when it is done, told why when it is refused. */

import { useQueryClient } from "@tanstack/react-query";
import { App } from "antd";
import { useState } from "react";

import { type Operation, Refused, transact } from "../api/client";

/** `meanwhile` is what is said when somebody changed what is edited since it was read. */
export function useSaving(meanwhile: string, onDone: () => void) {
  const queries = useQueryClient();
  const { message } = App.useApp();
  const [told, setTold] = useState("");
  const [isBusy, setIsBusy] = useState(false);
  const run = async (operations: readonly Operation[], done: string) => {
    setIsBusy(true);
    setTold("");
    try {
      await transact(operations);
      await queries.invalidateQueries({ queryKey: ["list"] });
      message.success(done);
      onDone();
    } catch (error) {
      const isMeanwhile = error instanceof Refused && error.status === 412 && operations.some((each) => each.if_match !== undefined);
      setTold(isMeanwhile ? meanwhile : error instanceof Error ? error.message : String(error));
    } finally {
      setIsBusy(false);
    }
  };
  return { told, isBusy, run, forget: () => setTold("") };
}
