// A way to the server that tells what comes by it: streams that are open, connections, and lets the server seem gone.

import http from "node:http";
import https from "node:https";

const STREAM = /^\/api\/v1\/(live|events|watch|analytics\/(uve|alarm)-stream)/;

/** Listens at a free port of this machine; `url` is the server's as browsers see it. */
export async function relayTo(server) {
  const told = { streams: new Set(), opened: 0, most: 0, connections: new Set(), isGone: false };
  const { request } = server.startsWith("https:") ? https : http;
  const agent = new (server.startsWith("https:") ? https : http).Agent({ keepAlive: true, rejectUnauthorized: false });
  const relay = http.createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming;
    if (STREAM.test(url)) {
      told.streams.add(outgoing);
      told.opened += 1;
      told.most = Math.max(told.most, told.streams.size);
    }
    const onward = request(`${server}${url}`, { method, headers, agent, rejectUnauthorized: false }, (reply) => {
      outgoing.writeHead(reply.statusCode, reply.headers);
      reply.pipe(outgoing);
    });
    onward.on("error", () => outgoing.destroy());
    outgoing.on("close", () => {
      told.streams.delete(outgoing);
      onward.destroy();
    });
    incoming.pipe(onward);
  });
  relay.on("connection", (socket) => {
    if (told.isGone) {
      socket.destroy();
      return;
    }
    told.connections.add(socket);
    socket.on("close", () => told.connections.delete(socket));
  });
  await new Promise((resolve) => relay.listen(0, "127.0.0.1", resolve));
  return {
    told,
    url: `http://127.0.0.1:${relay.address().port}`,
    /** Ends every connection, and takes none until the server is back. */
    go() {
      told.isGone = true;
      for (const socket of told.connections) socket.destroy();
    },
    back() {
      told.isGone = false;
    },
    close() {
      for (const socket of told.connections) socket.destroy();
      relay.close();
    },
  };
}
