/** The audit log: every change of anybody. */

import { HistoryTable } from "./HistoryTable";

export function HistoryPage() {
  return (
    <div className="page">
      <div className="page-head">
        <h1>History</h1>
        <span className="form-note">Every change, by whom, and how it was before; what the compiler derived is left out</span>
      </div>
      <HistoryTable />
    </div>
  );
}
