// The commands of the Node clients. Arguments, commands and output are those of python_commands.py.

import { createInterface } from "node:readline";

export const TIMEOUT = 30_000;

export function print(result) {
  console.log(JSON.stringify(result));
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

// The URL, headers and subprotocols of the command line.
export function options([url, kind, token] = process.argv.slice(2)) {
  switch (kind) {
    case undefined:
      return { url, headers: {}, protocols: [] };
    case "--header":
      return { url, headers: { Authorization: `Bearer ${token}` }, protocols: [] };
    case "--protocol":
      return { url, headers: {}, protocols: ["aisopod.v1", `bearer.${token}`] };
    default:
      fail(`unknown option: ${kind}`);
  }
}

function request(id, method, params = {}) {
  return JSON.stringify({ jsonrpc: "2.0", id, method, params });
}

function once(socket, handle) {
  socket.addEventListener("message", ({ data }) => handle(JSON.parse(data)), { once: true });
}

function echo(socket, count) {
  const numbers = Array.from({ length: count }, (_, index) => index);
  once(socket, ({ result }) => print({ unchanged: JSON.stringify(result) === JSON.stringify(numbers) }));
  socket.send(request(1, "gateway.echo", numbers));
}

function callAndClose(socket, count) {
  let answers = 0;
  socket.addEventListener("message", () => answers++);
  socket.addEventListener("close", () => print({ answers }));
  const params = { text: "x".repeat(1000) };
  for (let id = 0; id < count; id++) socket.send(request(id, "gateway.echo", params));
  socket.close(1000);
}

// Runs one command. Those after `ping` end the connection.
function perform(socket, command, argument) {
  switch (command) {
    case "call":
      once(socket, (answer) => print({ answer }));
      return socket.send(request(argument, argument));
    case "echo":
      return echo(socket, Number(argument));
    case "ping":
      // Only the package ws has these.
      socket.once("pong", (payload) => print({ pong: payload.toString() }));
      return socket.ping(argument);
    case "binary":
      return socket.send(Buffer.from([0x00, 0xff]));
    case "text":
      return socket.send("x".repeat(Number(argument)));
    case "calls":
      return callAndClose(socket, Number(argument));
    case "close":
      return socket.close(Number(argument));
    case "wait":
      return;
    default:
      fail(`unknown command: ${command}`);
  }
}

// Reads commands once the socket is open. The socket has the interface of the WebSocket in browsers.
export function run(socket) {
  socket.addEventListener("error", ({ message }) => console.error(`error: ${message}`));
  socket.addEventListener("close", ({ code, reason }) => {
    // After what the commands print.
    setImmediate(() => {
      print({ code, reason });
      process.exit(0);
    });
  });
  socket.addEventListener("open", () => {
    print({ protocol: socket.protocol });
    const lines = createInterface({ input: process.stdin });
    lines.on("line", (line) => perform(socket, ...line.trim().split(" ")));
    lines.on("close", () => process.exit(0));
  });
}
