/** Who uses the console, and what he may do. */

import { useQuery } from "@tanstack/react-query";

import { call, Refused, token } from "./client";
import { moment } from "./moment";

export interface Identity {
  readonly user: string;
  readonly project: string | null;
  readonly roles: readonly string[];
  readonly is_admin: boolean;
  readonly is_reader: boolean;
  readonly aaa_mode: string;
  /** Whether the server has users of its own. */
  readonly keeps_users: boolean;
  /** Full name of the project whose part of analytics he sees. */
  readonly analytics_project?: string | null;
  /** Whether he may say of that project's alarms that they were seen. */
  readonly analytics_acknowledges?: boolean;
}

/** null: the server wants to know who asks. */
export async function whoami(): Promise<Identity | null> {
  try {
    return await call<Identity>("GET", "/api/v1/whoami");
  } catch (error) {
    if (error instanceof Refused && error.status === 401) {
      token.clear();
      return null;
    }
    throw error;
  }
}

export function useIdentity() {
  return useQuery({ queryKey: ["whoami"], queryFn: whoami, staleTime: 60_000 });
}

export async function logIn(user: string, password: string): Promise<void> {
  const given = await call<{ token: string }>("POST", "/api/v1/login", { body: { user, password } });
  token.set(given.token);
}

/** Whether everybody is the administrator: nobody is asked who he is. */
export function isOpen(identity: Identity): boolean {
  return identity.aaa_mode === "no-auth";
}

export function isAdministrator(identity: Identity): boolean {
  return isOpen(identity) || identity.is_admin;
}

/** Whether analytics shows him what is of no project: processes, hosts, what they hold. */
export function seesAll(identity: Identity): boolean {
  return isAdministrator(identity) || identity.is_reader;
}

/** Types of UVEs of which members see those of their project (analytics/tenant_uves.py). */
const OF_PROJECTS: ReadonlySet<string> = new Set(["alarms", "virtual-network", "virtual-machine", "virtual-machine-interface", "loadbalancer"]);

/** Whether analytics shows him UVEs of a type, or `alarms`: all of them, or his project's own. */
export function seesType(identity: Identity, type: string): boolean {
  return seesAll(identity) || ((identity.analytics_project ?? "") !== "" && OF_PROJECTS.has(type));
}

/** Whether analytics shows him the numbers of an object: all of them, or his project's own. */
export function seesNumbers(identity: Identity, name: readonly string[]): boolean {
  if (seesAll(identity)) return true;
  const project = identity.analytics_project ?? "";
  return project !== "" && name.join(":").startsWith(`${project}:`);
}

interface Explained {
  readonly allowed: boolean;
  readonly text: string;
  readonly steps: readonly { readonly check: string; readonly outcome: string }[];
}

export interface Right {
  readonly allowed: boolean;
  readonly why: string;
}

const ALLOWED: Right = { allowed: true, why: "" };
const PAST: Right = { allowed: false, why: "The past cannot be changed: go back to now first" };

/** Whether a rule lets the caller do this to objects of a type; what an object itself allows is `usePermissions`. */
export function useRight(identity: Identity, type: string, operation: "create" | "update" | "delete"): Right {
  const asks = !isAdministrator(identity);
  const { data } = useQuery({
    queryKey: ["right", type, operation],
    queryFn: () => call<Explained>("GET", `/api/v1/explain-access?type=${type}&operation=${operation}`),
    enabled: asks,
    staleTime: 60_000,
  });
  if (moment.get() !== null) return PAST;
  if (!asks || data === undefined || data.allowed) return ALLOWED;
  return { allowed: false, why: data.text };
}

/** Whether a rule lets the caller see objects of a type; not before it is known. */
export function useMaySee(identity: Identity, type: string): boolean {
  const asks = !isAdministrator(identity);
  const { data } = useQuery({
    queryKey: ["right", type, "read"],
    queryFn: () => call<Explained>("GET", `/api/v1/explain-access?type=${type}&operation=read`),
    enabled: asks,
    staleTime: 60_000,
  });
  return !asks || data?.allowed === true;
}

/** The letters R, W, X of what one may do with an object. */
export function usePermissions(identity: Identity, uuid: string): string {
  const asks = !isAdministrator(identity);
  const { data } = useQuery({
    queryKey: ["permissions", uuid],
    queryFn: () => call<{ permissions: string }>("GET", `/obj-perms?uuid=${encodeURIComponent(uuid)}`),
    enabled: asks,
    staleTime: 60_000,
  });
  if (moment.get() !== null) return "R";
  return asks ? (data?.permissions ?? "R") : "RWX";
}
