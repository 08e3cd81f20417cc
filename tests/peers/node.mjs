// Stands for what one writes in Node: the package `ws`, which NODE_PATH leads to, with its defaults, and clients pinged
// the way its README shows, all at once. One process: one core, however many there are.
//
// Leaves out authentication and any HTTP beside the upgrade. Usage: node node.mjs --listen IP:PORT
// [--ping-interval SECONDS] [--json]

import { createRequire } from "node:module";
import { parseArgs } from "node:util";

// Unlike import, require looks into NODE_PATH.
const { WebSocketServer, WebSocket } = createRequire(import.meta.url)("ws");

const BROADCAST = "!".charCodeAt(0);
// Pings in a row; at the next one the client is dropped.
const UNANSWERED = 2;

function fail(message) {
  console.error(message);
  process.exit(64);
}

function options() {
  try {
    const { values } = parseArgs({
      options: {
        listen: { type: "string" },
        "ping-interval": { type: "string", default: "3600" },
        json: { type: "boolean", default: false },
      },
    });
    const address = /^(.+):(\d+)$/.exec(values.listen ?? "");
    const seconds = Number(values["ping-interval"]);
    if (!address) fail("--listen ADDRESS is missing, as in --listen 127.0.0.1:0");
    if (!(seconds > 0)) fail("--ping-interval: a number of seconds above 0 is needed");
    return { host: address[1], port: Number(address[2]), milliseconds: seconds * 1000, json: values.json };
  } catch (error) {
    fail(error.message);
  }
}

function error(code, message, id) {
  return JSON.stringify({ jsonrpc: "2.0", error: { code, message }, id });
}

function rpc(text) {
  let request;
  try {
    request = JSON.parse(text);
  } catch {
    return error(-32700, "not JSON", null);
  }
  const { id = null, method, params = null } = request ?? {};
  if (method !== "gateway.echo") return error(-32601, "no such method", id);
  return JSON.stringify({ jsonrpc: "2.0", result: params, id });
}

const { host, port, milliseconds, json } = options();
const server = new WebSocketServer({ host, port, path: "/ws" });

function broadcast(data) {
  for (const client of server.clients) {
    if (client.readyState === WebSocket.OPEN) client.send(data, { binary: false });
  }
}

server.on("connection", (socket) => {
  socket.unanswered = 0;
  socket.on("pong", () => (socket.unanswered = 0));
  socket.on("error", () => socket.terminate());
  socket.on("message", (data, isBinary) => {
    if (isBinary) return socket.close(1003);
    if (data[0] === BROADCAST) return broadcast(data);
    socket.send(json ? rpc(data.toString()) : data, { binary: false });
  });
});

setInterval(() => {
  for (const socket of server.clients) {
    if (socket.unanswered === UNANSWERED) {
      socket.terminate();
    } else {
      socket.unanswered += 1;
      socket.ping();
    }
  }
}, milliseconds);

server.on("error", (error) => fail(error.message));
server.on("listening", () => console.log(`listening ${host}:${server.address().port}`));
process.on("SIGTERM", () => process.exit(0));
