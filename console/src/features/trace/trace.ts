/** The way of a packet as the API tells it. */

export interface Rule {
  readonly name: string;
  readonly text: string;
}

export interface Step {
  readonly stage: string;
  readonly question: string;
  readonly answer: string;
  readonly rule: string;
}

export interface Leg {
  readonly host: string;
  readonly outcome: string;
  readonly drop_reason: string;
  readonly port?: string;
  readonly remote?: string;
  readonly encapsulation?: string;
  readonly label?: number;
  readonly leaves_as?: Readonly<Record<string, string>>;
  readonly service?: string;
  readonly deciding_rule: Rule | null;
  readonly steps: readonly Step[];
}

export interface End {
  readonly name: string;
  readonly uuid: string;
  readonly host: string;
  readonly network: string;
  readonly addresses: readonly string[];
}

/** Where a packet that was really sent was seen. */
export interface Hop {
  readonly host: string;
  readonly point: string;
  readonly drop_reason: string;
  readonly port: string;
  readonly time_ns: number;
}

export interface Probe {
  readonly agrees: boolean;
  readonly seen: string;
  readonly hops: readonly Hop[];
}

export interface Trace {
  readonly probe?: Probe;
  readonly source: End;
  readonly destination: End;
  readonly protocol: string;
  readonly port: number;
  readonly verdict: "delivered" | "dropped" | "leaves" | "elsewhere";
  readonly summary: string;
  readonly services: readonly string[];
  readonly legs: readonly Leg[];
}

export const PROTOCOLS = ["icmp", "tcp", "udp", "sctp", "icmp6"] as const;
const WITH_PORTS: ReadonlySet<string> = new Set(["tcp", "udp", "sctp"]);

export function hasPorts(protocol: string): boolean {
  return WITH_PORTS.has(protocol);
}

export interface Question {
  readonly source: string;
  readonly destination: string;
  readonly protocol: string;
  readonly port: string;
  readonly network: string;
}

export function questionOf(search: URLSearchParams): Question {
  const given = (name: string, otherwise = "") => search.get(name) ?? otherwise;
  return {
    source: given("from"),
    destination: given("to"),
    protocol: given("protocol", "icmp"),
    port: given("port"),
    network: given("network"),
  };
}

/** What is still missing before it can be asked; empty when nothing is. */
export function missing({ source, destination, protocol, port }: Question): string {
  if (source === "" || destination === "") return "Choose where the packet comes from and where it goes.";
  const number = Number(port);
  if (hasPorts(protocol) && !(Number.isInteger(number) && number > 0 && number < 65536)) return `${protocol} needs a port, 1 to 65535.`;
  return "";
}

export function tracePath({ source, destination, protocol, port, network }: Question): string {
  const query = new URLSearchParams({ source, destination, protocol });
  if (hasPorts(protocol)) query.set("port", port);
  if (network !== "") query.set("network", network);
  return `/api/v1/trace?${query.toString()}`;
}

/** How a packet goes from one host to the next. */
export function carriageOf({ encapsulation = "", label = 0, remote = "" }: Leg): string {
  if (encapsulation === "") return "";
  const number = encapsulation === "NATIVE" ? "" : `${encapsulation === "VXLAN" ? "VNI" : "label"} ${label}`;
  const how = encapsulation === "NATIVE" ? "without tunnel" : encapsulation;
  return [how, number, remote === "" ? "" : `to ${remote}`].filter(Boolean).join(" ").replace("_", " over ");
}

export function shortName(name: string): string {
  return name.split(":").slice(-2).join(" › ");
}

/** A rule's access lists as people know what they come from. */
export function ruleName(name: string): string {
  return name.split(" & ").map(listName).join(", ");
}

function listName(name: string): string {
  const parts = name.split(":");
  const group = /^(egress|ingress)-access-control-list$/.exec(parts.at(-1) ?? "");
  if (group !== null) return `security group ${parts.slice(0, -1).join(":")}`;
  return parts.length > 1 && parts.at(-1) === parts.at(-2) ? `policies of network ${parts.slice(0, -1).join(":")}` : name;
}

/** One sentence: what becomes of the packet. */
export function sentenceOf(trace: Trace): string {
  const what = `${trace.protocol}${trace.port > 0 ? ` ${trace.port}` : ""}`;
  const through = trace.services.length > 0 ? ` through ${trace.services.map(shortName).join(", ")}` : "";
  if (trace.verdict === "delivered") return `${what} is delivered to ${shortName(trace.destination.name)}${through}`;
  const told = trace.summary.replace(/ by rule .*$/, "");
  return told === "dropped" ? `${what} is dropped` : `${what}: ${told}`;
}

/** What a probe can be made of. */
const PROBED: ReadonlySet<string> = new Set(["icmp", "icmp6", "tcp", "udp"]);

export function canProbe({ protocol }: Question): boolean {
  return PROBED.has(protocol);
}

export function probeBody({ source, destination, protocol, port, network }: Question): Record<string, string | number> {
  return { source, destination, protocol, ...(hasPorts(protocol) ? { port: Number(port) } : {}), ...(network === "" ? {} : { network }) };
}

/** One sentence: what became of the packet that was sent, and whether the tables said so. */
export function probeSentence({ hops, agrees }: Probe): string {
  const last = hops.at(-1);
  if (last === undefined) return "The probe was seen nowhere, not even where it was sent.";
  const where = `${last.port === "" ? "" : `at ${shortName(last.port)} `}on ${last.host}`;
  const end = last.drop_reason !== "" ? `dropped ${where}: ${last.drop_reason}` : last.point === "delivered" ? `delivered ${where}` : `last seen ${where}, then out of sight`;
  return `The probe was ${end}${agrees ? ", as the tables say." : ". The tables say otherwise."}`;
}

/** Those whose full name has what was typed, `red:web1` for one, in any case. */
export function areNamed<Named extends { readonly fq_name: readonly string[] }>(ports: readonly Named[], typed: string): Named[] {
  const wanted = typed.trim().toLowerCase();
  return ports.filter(({ fq_name }) => fq_name.join(":").toLowerCase().includes(wanted));
}
