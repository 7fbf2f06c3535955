/** Tag-based policy that lets one session through: a rule at each end whose sets refuse it. Pure. */

import { type Document } from "../model/document";
import { familyOf } from "../model/prefix";
import { type Applied, type End, kindOf, type Session, type Standing, standingOf } from "./decide";
import { ordered, type Policy, scopeOf, withNewRule, withObject, withOrder } from "./firewall";

export interface Allowed {
  readonly policy: Policy;
  /** What is written, one sentence for each rule. */
  readonly told: readonly string[];
}

/** Kinds of tags that say best what a workload is, the best first. */
const TELLING = ["tier", "application", "deployment", "site"];

/** How a rule of a scope names an end: by a tag that says what it is, else its address alone. */
export function endOf(scope: string, end: End): Document {
  const named = end.tags.flatMap((tag) => {
    if (!tag.includes(":")) return [{ kind: kindOf(tag), text: `global:${tag}` }];
    return tag.startsWith(`${scope}:`) ? [{ kind: kindOf(tag), text: tag.slice(scope.length + 1) }] : [];
  });
  const best = TELLING.map((kind) => named.find((each) => each.kind === kind)).find((each) => each !== undefined) ?? named[0];
  if (best !== undefined) return { tags: [best.text] };
  return { subnet: { ip_prefix: end.address, ip_prefix_len: familyOf(end.address) === "IPv6" ? 128 : 32 } };
}

/** The policy with what both ends need, or null when no set holds for either. */
export function allowed(given: Policy, applied: Applied, session: Session): Allowed | null {
  let policy = given;
  let isDecided = false;
  const told: string[] = [];
  for (const side of ["client", "server"] as const) {
    const standing = standingOf(policy, applied, session, side);
    isDecided ||= standing !== null;
    if (standing === null || standing.passes) continue;
    const next = withPass(policy, standing, session, side);
    policy = next.policy;
    told.push(next.told);
  }
  return isDecided ? { policy, told } : null;
}

function withPass(given: Policy, { sets, rule }: Standing, session: Session, side: "client" | "server"): { policy: Policy; told: string } {
  const project = session[side].project;
  // The most particular set that is the project's own; others may be nobody's to change.
  const set = rule?.set ?? sets.findLast((name) => name.startsWith(`${project}:`)) ?? sets.at(-1) ?? "";
  const scope = scopeOf(rule?.policy ?? set).scope.join(":");
  const ends = [endOf(scope, session.client), endOf(scope, session.server)] as const;
  const { protocol, port } = session;
  const what = port > 0 ? `${protocol} ${port}` : protocol;
  const title = `allow-${what.replace(" ", "-")}-${ends.map(shortName).join("-to-")}`;
  const { policy: made, placing } = withNewRule(given, set, ends, title, rule?.policy);
  const ports = port > 0 ? { start_port: port, end_port: port } : { start_port: 0, end_port: 65535 };
  const isOneApplication = session.client.tags.some((tag) => kindOf(tag) === "application" && session.server.tags.includes(tag));
  const body = {
    ...made["firewall-rule"].get(placing.rule)!,
    service: { protocol, dst_ports: ports, src_ports: { start_port: 0, end_port: 65535 } },
    match_tags: { tag_list: isOneApplication ? ["application"] : [] },
  };
  const policy = withObject(made, "firewall-rule", placing.rule, body);
  const words = `${what} from ${longName(ends[0])} to ${longName(ends[1])}${isOneApplication ? " of the same application" : ""}`;
  const place = `set ${shortOf(set)}, policy ${shortOf(placing.policy)}`;
  if (rule === undefined) return { policy, told: `a new rule in ${place}: pass ${words}` };
  const rest = ordered(policy["firewall-policy"].get(rule.policy)?.["firewall_rule_refs"]).filter((each) => each !== placing.rule);
  const order = rest.toSpliced(rest.indexOf(rule.rule), 0, placing.rule);
  return { policy: withOrder(policy, rule.policy, order), told: `a new rule in ${place}, before ${shortOf(rule.rule)}: pass ${words}` };
}

function shortOf(name: string): string {
  return name.split(":").at(-1) ?? name;
}

function longName(end: Document): string {
  const tags = end["tags"];
  if (Array.isArray(tags)) return tags.join(" and ");
  const subnet = end["subnet"] as Document;
  return `${String(subnet["ip_prefix"])}/${String(subnet["ip_prefix_len"])}`;
}

function shortName(end: Document): string {
  const text = longName(end);
  return (text.includes("=") ? text.slice(text.indexOf("=") + 1) : text).replaceAll(/[^\w.-]+/g, "-");
}
