/** The matrix: from the rows to the columns; each cell says what passes, in the order in which rules are tried. */

import { EditOutlined } from "@ant-design/icons";

import type { Policy } from "../../policy/firewall";
import { cellOf, type CellRule, cellText, type Heading, verdictOf } from "./matrix";

interface Props {
  readonly policy: Policy;
  /** What is enforced: cells that differ from it are marked. */
  readonly now: Policy;
  readonly set: string;
  readonly type: string;
  readonly headings: readonly Heading[];
  readonly chosen: string;
  readonly onChoose: (from: Heading, to: Heading) => void;
}

const MARKS = { pass: "✓", deny: "✗", none: "–" } as const;
const SHOWN_COUNT = 3;

export function Matrix({ policy, now, set, type, headings, chosen, onChoose }: Props) {
  return (
    <div className="matrix" role="region" aria-label="Who may talk to whom" tabIndex={0}>
      <table>
        <caption className="unseen">Rows are who begins, columns whom they reach</caption>
        <thead>
          <tr>
            <th scope="col">from ↓ &nbsp; to →</th>
            {headings.map((each) => <th key={each.key} scope="col" title={each.key}>{each.title}</th>)}
          </tr>
        </thead>
        <tbody>
          {headings.map((from) => (
            <tr key={from.key}>
              <th scope="row" title={from.key}>{from.title}</th>
              {headings.map((to) => {
                const rules = cellOf(policy, set, from, to, type);
                const isChanged = cellText(rules) !== cellText(cellOf(now, set, from, to, type));
                return (
                  <td key={to.key}>
                    <button
                      type="button"
                      className={`matrix-${verdictOf(rules)}${isChanged ? " matrix-changed" : ""}`}
                      aria-pressed={chosen === `${from.key} ${to.key}`}
                      onClick={() => onChoose(from, to)}
                    >
                      <span className="unseen">From {from.title} to {to.title}: </span>
                      <Words rules={rules} />
                      {isChanged && <span className="matrix-note"><EditOutlined /> changed</span>}
                    </button>
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Words({ rules }: { readonly rules: readonly CellRule[] }) {
  if (rules.length === 0) {
    return (
      <span className="form-note">
        <span aria-hidden="true">{MARKS.none}</span> <span className="unseen">nothing passes</span>
      </span>
    );
  }
  return (
    <>
      {rules.slice(0, SHOWN_COUNT).map((each, index) => (
        // oxlint-disable-next-line react/no-array-index-key -- a rule may be in a set twice
        <span key={index} className={`matrix-rule matrix-rule-${each.verdict}`}>
          <span aria-hidden="true">{MARKS[each.verdict]}</span> <span className="unseen">{each.verdict}</span> {each.services}{" "}
          {each.conditions.length > 0 && <small>{each.conditions.join(", ")}</small>}
        </span>
      ))}
      {rules.length > SHOWN_COUNT && <small>and {rules.length - SHOWN_COUNT} more</small>}
    </>
  );
}
