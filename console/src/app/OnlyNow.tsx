/** In place of what only the present has: says so, and leads there. */

import { Alert, Button } from "antd";

import { travel } from "./TimeMachine";

export function OnlyNow({ what }: { readonly what: string }) {
  return <Alert type="info" showIcon title={what} action={<Button size="small" onClick={() => travel("")}>See it now</Button>} />;
}

export function OnlyNowPage({ title, what }: { readonly title: string; readonly what: string }) {
  return (
    <div className="page">
      <div className="page-head"><h1>{title}</h1></div>
      <OnlyNow what={what} />
    </div>
  );
}
