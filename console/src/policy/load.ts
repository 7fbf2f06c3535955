/** Reads everything about tag-based policy of a scope (a project, or everybody), and of everybody, whose objects projects use. */

import { list } from "../api/client";
import type { ConfigObject } from "../model/document";
import { DRAFTS, EVERYBODY, type Kind, KINDS, type Loaded } from "./firewall";

const LIMIT = 10_000;
const FIELDS: Readonly<Record<Kind, readonly string[]>> = {
  "service-group": ["service_group_firewall_service_list"],
  "address-group": ["address_group_prefix", "tag_refs"],
  "firewall-rule": ["action_list", "service", "service_group_refs", "endpoint_1", "endpoint_2", "match_tags", "direction"],
  "firewall-policy": ["firewall_rule_refs"],
  "application-policy-set": ["firewall_policy_refs", "tag_refs", "all_applications", "global_vrouter_config_refs"],
};

/** Empty: what is for everybody. */
export type Scope = readonly string[];

export interface Security {
  readonly loaded: Loaded;
  readonly tags: readonly string[];
  /** The project or the global system configuration. */
  readonly holder: ConfigObject | undefined;
  readonly isDrafting: boolean;
}

export async function loadSecurity(scope: Scope, signal: AbortSignal): Promise<Security> {
  const managements = await list("policy-management", { fields: [], limit: LIMIT }, signal);
  const names = managements.items.map((each) => each.fq_name.join(":"));
  const drafts = [...scope, DRAFTS].join(":");
  const places = [EVERYBODY, scope.join(":"), drafts].filter((each) => each !== "" && (each === scope.join(":") || names.includes(each)));
  const found = await Promise.all(
    KINDS.map(async (kind) => {
      const pages = await Promise.all(
        places.map((parent) => list(kind, { parent, fields: [...FIELDS[kind], "etag", "draft_mode_state"], limit: LIMIT, sort: "fq_name" }, signal)),
      );
      return [kind, pages.flatMap((page) => page.items)] as const;
    }),
  );
  const [type, name, ...fields] = scope.length === 0
    ? ["global-system-config", "default-global-system-config"] as const
    : ["project", scope.at(-1) ?? "", "application_policy_set_refs"] as const;
  const holders = await list(type, { filter: [`name:in:${name}`], fields: ["enable_security_policy_draft", ...fields] }, signal);
  const tags = await list("tag", { fields: ["tag_type_name"], limit: LIMIT, sort: "fq_name" }, signal);
  const own = tags.items.filter((each) => each.fq_name.length > 1 && each.fq_name.slice(0, -1).join(":") === scope.join(":"));
  const global = tags.items.filter((each) => each.fq_name.length === 1);
  return {
    loaded: Object.fromEntries(found) as unknown as Loaded,
    tags: [...own.map((each) => each.fq_name.at(-1) ?? ""), ...global.map((each) => `global:${each.fq_name[0] ?? ""}`)],
    holder: holders.items.find((each) => scope.length === 0 || each.fq_name.join(":") === scope.join(":")),
    isDrafting: names.includes(drafts),
  };
}
