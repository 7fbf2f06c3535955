/** What counts for a member of a quota, and the limit that holds; how tenants are written. Pure. */

import type { Catalog } from "../../../model/catalog";
import type { Document } from "../../../model/document";

/** By which filter the objects are found that count for a member of the quota; empty: the server alone counts them. */
export function filterOf(catalog: Catalog, member: string, uuid: string): string {
  const type = member.replaceAll("_", "-");
  const entry = catalog.objects[type];
  if (entry === undefined) return "";
  if (entry.parents.includes("project")) return `parent_uuid:eq:${uuid}`;
  return entry.references?.["project_refs"] === undefined ? "" : `project_refs:eq:${uuid}`;
}

/** The limit that holds; negative: none. */
export function limitOf(quota: Document, name: string): number {
  const own = quota[name] ?? quota["defaults"];
  return typeof own === "number" ? own : -1;
}

/** Owners are stored without dashes, those shared with as they were given. */
export function tenantKey(tenant: string): string {
  return tenant.replace(/^tenant:/, "").replaceAll("-", "");
}
