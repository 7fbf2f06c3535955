/** What the lines of the service map mean, of the kinds that are there. */

import { type Edge, type Verdict, verdictOf } from "./flows";

const WORDS: Readonly<Record<Verdict, string>> = { pass: "✓ passed", deny: "✗ denied", mixed: "some of both: the bar says how much" };

export function VerdictLegend({ edges }: { readonly edges: readonly Edge[] }) {
  const there = new Set(edges.map(verdictOf));
  return (
    <>
      {(["pass", "deny", "mixed"] as const).filter((verdict) => there.has(verdict)).map((verdict) => (
        <span key={verdict}>
          <svg width={28} height={10} aria-hidden>
            <g className={`flow-${verdict}`}>
              {verdict !== "deny" && <path d="M0 5 H28" className="flow-line" strokeWidth={verdict === "mixed" ? 7 : 4} />}
              {verdict !== "pass" && <path d="M0 5 H28" className="flow-line flow-line-denied" strokeWidth={3} />}
            </g>
          </svg>{" "}
          {WORDS[verdict]}
        </span>
      ))}
      <span>Numbers are sessions, as hosts told when they ended</span>
    </>
  );
}
