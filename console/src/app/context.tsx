/** What every page knows: the model, who uses the console, whether it is live. */

import { createContext, useContext } from "react";

import type { Live } from "../api/live";
import type { Identity } from "../api/session";
import type { Liveness } from "../api/shared";
import type { Catalog } from "../model/catalog";

export interface ConsoleContext {
  readonly catalog: Catalog;
  readonly identity: Identity;
  readonly liveness: Liveness;
  /** What processes say, as it comes; null in the past. */
  readonly live: Live | null;
}

const Context = createContext<ConsoleContext | null>(null);

export const ConsoleProvider = Context.Provider;

export function useConsole(): ConsoleContext {
  const found = useContext(Context);
  if (found === null) throw new Error("used outside of the console");
  return found;
}
