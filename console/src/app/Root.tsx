/** Decides between log-in and console; loads the model. */

import { useQuery } from "@tanstack/react-query";
import { Alert, App as AntApp, ConfigProvider, Spin } from "antd";

import { useEventStream } from "../api/events";
import { type Identity, useIdentity } from "../api/session";
import modelUrl from "../generated/model.json?url";
import type { Catalog } from "../model/catalog";
import { ConsoleProvider } from "./context";
import { Login } from "./Login";
import { Shell } from "./Shell";
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

function Loaded({ identity, scheme, onTurn }: Turning & { readonly identity: Identity }) {
  const catalog = useQuery({ queryKey: ["model"], queryFn: loadModel, staleTime: Infinity });
  const liveness = useEventStream(true);
  if (catalog.isError) return <Alert type="error" title={catalog.error.message} />;
  if (catalog.data === undefined) return <Spin fullscreen description="Loading" />;
  return (
    <ConsoleProvider value={{ catalog: catalog.data, identity, liveness }}>
      <Shell scheme={scheme} onTurn={onTurn} />
    </ConsoleProvider>
  );
}
