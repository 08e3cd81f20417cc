// A client with Node's own WebSocket. Its commands are those of node_commands.mjs, except ping. It can't tell the HTTP
// status of a failed handshake: it reports 1006 like a browser.

import { options, run } from "./node_commands.mjs";

// The headers are an extension of Node's: a browser's WebSocket takes the subprotocols only.
const { url, ...init } = options();
run(new WebSocket(url, init));
