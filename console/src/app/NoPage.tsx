/** An address of the console that leads nowhere, or to a type that there is not: said so, with ways on. */

import { Button, Result } from "antd";
import { useLocation, useNavigate } from "react-router";

interface Props {
  /** What there is not, where the address itself is one of the console's. */
  readonly what?: string;
}

export function NoPage({ what }: Props) {
  const { pathname } = useLocation();
  const navigate = useNavigate();
  return (
    <div className="page">
      <Result
        status="warning"
        title={<h1 style={{ fontSize: 20, margin: 0 }}>No such page</h1>}
        subTitle={what ?? <>The console has nothing at <span className="mono live-cell">{pathname}</span></>}
        extra={
          <div className="strip" style={{ justifyContent: "center" }}>
            {history.length > 1 && <Button onClick={() => void navigate(-1)}>Back</Button>}
            <Button type="primary" onClick={() => void navigate("/")}>To the dashboard</Button>
          </div>
        }
      />
    </div>
  );
}
