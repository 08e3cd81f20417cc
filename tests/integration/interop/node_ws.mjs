// A client with the Node package `ws`, found by NODE_PATH. Its commands are those of node_commands.mjs.

import { createRequire } from "node:module";
import { TIMEOUT, options, print, run } from "./node_commands.mjs";

// require uses NODE_PATH, import doesn't.
const WebSocket = createRequire(import.meta.url)("ws");

const { url, headers, protocols } = options();
const socket = new WebSocket(url, protocols, { headers, handshakeTimeout: TIMEOUT });
socket.on("unexpected-response", (request, response) => {
  print({ status: response.statusCode });
  process.exit(0);
});
run(socket);
