/** Whether what is shown comes as it happens, and when lately it did not. */

import { useSyncExternalStore } from "react";

import type { Gap, Phase, Standing } from "../../api/shared";
import { useConsole } from "../../app/context";

const WORDS: Readonly<Record<Phase, string>> = {
  idle: "",
  connecting: "connecting to the stream",
  live: "shown as it comes",
  broken: "the stream is interrupted: asked every five seconds since",
  refused: "asked every five seconds",
};
const NONE: Standing = { phase: "idle", since: 0, gaps: [] };
const nobody = () => () => undefined;
const shown = () => NONE;

export function LiveMark() {
  const { live } = useConsole();
  const { phase, since, gaps } = useSyncExternalStore(live?.subscribe ?? nobody, live?.standing ?? shown);
  return (
    <>
      <span className={`form-note live-mark live-${phase}`} role="status" aria-label="Stream">{WORDS[phase]}{phase === "broken" && ` ${clock(since)}`}</span>
      {gaps.length > 0 && <span className="form-note" role="note" aria-label="Gaps">Not seen as it came: {gaps.toReversed().slice(0, 3).map(gapText).join(", ")}</span>}
    </>
  );
}

function gapText({ from, to }: Gap): string {
  return `${clock(from)}–${clock(to)}`;
}

function clock(time: number): string {
  return new Date(time).toISOString().slice(11, 19);
}
