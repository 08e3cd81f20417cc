"""Stands for what one writes in Python: asyncio and the package `websockets`, with its defaults, its keepalive for the
pings and its broadcast. One process: one core, however many there are.

Leaves out authentication and any HTTP beside the upgrade. What the defaults compress, they compress only for clients
that ask for it.

    python3 python.py --listen IP:PORT [--ping-interval SECONDS] [--json]
"""

import argparse
import asyncio
import http
import json
import os
import signal

from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed

PATH = "/ws"
BROADCAST = "!"


def address(text):
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text}: an address is needed, as 127.0.0.1:0")
    return host, int(port)


def seconds(text):
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text}: a number of seconds above 0 is needed")
    return number


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", type=address, required=True)
    parser.add_argument("--ping-interval", type=seconds, default=3600.0)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def encode(value):
    # As compact as everybody else's.
    return json.dumps(value, separators=(",", ":"))


def error(code, message, id):
    return encode({"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": id})


def rpc(text):
    try:
        request = json.loads(text)
    except ValueError:
        return error(-32700, "not JSON", None)
    id = request.get("id")
    if request.get("method") != "gateway.echo":
        return error(-32601, "no such method", id)
    return encode({"jsonrpc": "2.0", "result": request.get("params"), "id": id})


async def main(options):
    loop = asyncio.get_running_loop()
    # At once: whoever stops it doesn't wait for a farewell to each of thousands.
    loop.add_signal_handler(signal.SIGTERM, os._exit, 0)
    clients = set()

    async def talk(socket):
        clients.add(socket)
        try:
            async for text in socket:
                if isinstance(text, bytes):
                    return await socket.close(1003)
                if text.startswith(BROADCAST):
                    broadcast(clients, text)
                else:
                    await socket.send(rpc(text) if options.json else text)
        except ConnectionClosed:
            pass
        finally:
            clients.remove(socket)

    def only_path(socket, request):
        if request.path != PATH:
            return socket.respond(http.HTTPStatus.NOT_FOUND, "not found\n")

    # Unanswered at the next ping but one: dropped.
    pings = {"ping_interval": options.ping_interval, "ping_timeout": 2 * options.ping_interval}
    server = await serve(talk, *options.listen, process_request=only_path, **pings)
    host, port = server.sockets[0].getsockname()[:2]
    print(f"listening {host}:{port}", flush=True)
    await server.wait_closed()


asyncio.run(main(arguments()))
