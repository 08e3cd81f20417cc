// A client with the Node package `ws`, found by NODE_PATH. Arguments, commands and output are those of websockets.py.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// require uses NODE_PATH, import doesn't.
const WebSocket = createRequire(import.meta.url)("ws");
const TIMEOUT = 30_000;

function print(result) {
  console.log(JSON.stringify(result));
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

function connect([url, kind, token]) {
  const options = { handshakeTimeout: TIMEOUT };
  switch (kind) {
    case undefined:
      return new WebSocket(url, options);
    case "--header":
      return new WebSocket(url, { ...options, headers: { Authorization: `Bearer ${token}` } });
    case "--protocol":
      return new WebSocket(url, ["aisopod.v1", `bearer.${token}`], options);
    default:
      fail(`unknown option: ${kind}`);
  }
}

// Runs one command. All but `call` and `ping` end the connection.
function run(socket, command, argument) {
  switch (command) {
    case "call":
      socket.once("message", (data) => print({ answer: JSON.parse(data.toString()) }));
      return socket.send(JSON.stringify({ jsonrpc: "2.0", id: argument, method: argument }));
    case "ping":
      socket.once("pong", (payload) => print({ pong: payload.toString() }));
      return socket.ping(argument);
    case "binary":
      return socket.send(Buffer.from([0x00, 0xff]));
    case "text":
      return socket.send("x".repeat(Number(argument)));
    case "close":
      return socket.close(Number(argument));
    case "wait":
      return;
    default:
      fail(`unknown command: ${command}`);
  }
}

const socket = connect(process.argv.slice(2));
socket.on("unexpected-response", (request, response) => {
  print({ status: response.statusCode });
  request.destroy();
  process.exit(0);
});
socket.on("error", (error) => console.error(`error: ${error.message}`));
socket.on("close", (code, reason) => {
  print({ code, reason: reason.toString() });
  process.exit(0);
});
socket.on("open", () => {
  print({ protocol: socket.protocol });
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => run(socket, ...line.trim().split(" ")));
  lines.on("close", () => process.exit(0));
});
