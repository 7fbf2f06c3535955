/** Decides between log-in and console; loads the model. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, App as AntApp, ConfigProvider, Spin } from "antd";
import { useEffect, useMemo, useSyncExternalStore } from "react";

import { call } from "../api/client";
import { Live } from "../api/live";
import { moment, timeIn } from "../api/moment";
import { type Identity, useIdentity } from "../api/session";
import type { Liveness } from "../api/shared";
import { alarmsOf } from "../features/monitor/alarms";
import modelUrl from "../generated/model.json?url";
import type { Catalog } from "../model/catalog";
import { ConsoleProvider } from "./context";
import { Login } from "./Login";
import { Shell } from "./Shell";
import { NoSuchPast } from "./TimeMachine";
import { type Scheme, themeOf, useScheme } from "./theme";

async function loadModel(): Promise<Catalog> {
  const reply = await fetch(modelUrl);
  if (!reply.ok) throw new Error("The data model could not be loaded");
  return (await reply.json()) as Catalog;
}

export function Root() {
  const [scheme, turn] = useScheme();
  return (
    <ConfigProvider theme={themeOf(scheme)}>
      <AntApp style={{ height: "100%" }}>
        <Admission scheme={scheme} onTurn={turn} />
      </AntApp>
    </ConfigProvider>
  );
}

interface Turning {
  readonly scheme: Scheme;
  readonly onTurn: () => void;
}

function Admission(turning: Turning) {
  const identity = useIdentity();
  if (identity.data === null) return <Login onDone={() => void identity.refetch()} />;
  if (identity.isError) {
    return (
      <main className="page">
        <Alert type="error" showIcon title="The API does not answer" description={identity.error.message} />
      </main>
    );
  }
  if (identity.data === undefined) return <Spin fullscreen description="Loading" />;
  return <Loaded identity={identity.data} {...turning} />;
}

/** Finds the moment to show; the revision that stood then is what everything is read as of. */
async function findMoment(time: string): Promise<true> {
  const { revision } = await call<{ revision: number }>("GET", `/api/v1/history/moment?time=${encodeURIComponent(time)}`);
  moment.set({ time, revision });
  return true;
}

/** What is told live to this person; of the past nothing is. */
function useLive(enabled: boolean, identity: Identity): Live | null {
  const queries = useQueryClient();
  const who = JSON.stringify(identity);
  const live = useMemo(() => (enabled ? new Live(queries, who, alarmsOf) : null), [enabled, queries, who]);
  useEffect(() => {
    live?.start();
    return () => live?.stop();
  }, [live]);
  return live;
}

const nobody = () => () => undefined;

function useLiveness(live: Live | null): Liveness {
  return useSyncExternalStore(live?.subscribe ?? nobody, live?.liveness ?? (() => "past"));
}

function Loaded({ identity, scheme, onTurn }: Turning & { readonly identity: Identity }) {
  const catalog = useQuery({ queryKey: ["model"], queryFn: loadModel, staleTime: Infinity });
  const time = timeIn(location.pathname);
  const past = useQuery({ queryKey: ["moment", time], queryFn: () => findMoment(time), enabled: time !== "", staleTime: Infinity, retry: false });
  const live = useLive(time === "", identity);
  const liveness = useLiveness(live);
  if (past.isError) return <NoSuchPast error={past.error} />;
  if (catalog.isError) return <Alert type="error" title={catalog.error.message} />;
  if (catalog.data === undefined || (time !== "" && past.data === undefined)) return <Spin fullscreen description="Loading" />;
  return (
    <ConsoleProvider value={{ catalog: catalog.data, identity, liveness, live }}>
      <Shell scheme={scheme} onTurn={onTurn} />
    </ConsoleProvider>
  );
}
