/** The worker that all pages of a browser share: it has the one stream. */

import { Hub, serve } from "./hub";

const hub = new Hub();

addEventListener("connect", (event) => {
  const [port] = (event as MessageEvent).ports;
  if (port !== undefined) serve(hub, port);
});
