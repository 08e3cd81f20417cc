"""A client by the Python package `websockets`: python3 client.py URL [--header TOKEN | --protocol TOKEN]

Reads commands from standard input, a line each, and prints results as JSON, a line each:

    call METHOD    the answer to a JSON-RPC request
    ping PAYLOAD   the pong's payload
    binary         sends a binary message; then as wait
    text LENGTH    sends a text so long; then as wait
    close CODE     closes; then as wait
    wait           waits for the end: its code and reason

The first line is the subprotocol, or the HTTP status of a refusal.
"""

import json
import sys

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

PATIENCE = 30


def tell(**result):
    print(json.dumps(result), flush=True)


def options(arguments):
    # What the environment says of proxies is not for this machine; pings are sent by command only.
    common = {"proxy": None, "ping_interval": None, "open_timeout": PATIENCE, "close_timeout": PATIENCE}
    match arguments:
        case []:
            return common
        case ["--header", token]:
            return common | {"additional_headers": {"Authorization": f"Bearer {token}"}}
        case ["--protocol", token]:
            return common | {"subprotocols": ["aisopod.v1", f"bearer.{token}"]}
    sys.exit(__doc__)


def call(socket, method):
    socket.send(json.dumps({"jsonrpc": "2.0", "id": method, "method": method}))
    tell(answer=json.loads(socket.recv(timeout=PATIENCE)))


def ping(socket, payload):
    if not socket.ping(payload.encode()).wait(PATIENCE):
        sys.exit("no pong with the ping's payload")
    tell(pong=payload)


def end(socket, command, argument):
    """What ends the connection, and how it ended."""
    try:
        match command:
            case "binary":
                socket.send(b"\x00\xff")
            case "text":
                socket.send("x" * int(argument))
            case "close":
                socket.close(int(argument))
            case "wait":
                pass
            case _:
                sys.exit(f"unknown command: {command}")
        while True:
            socket.recv(timeout=PATIENCE)
    except ConnectionClosed:
        tell(code=socket.close_code, reason=socket.close_reason)


def main():
    try:
        socket = connect(sys.argv[1], **options(sys.argv[2:]))
    except InvalidStatus as refusal:
        return tell(status=refusal.response.status_code)
    tell(protocol=socket.subprotocol or "")
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "call":
            call(socket, argument)
        elif command == "ping":
            ping(socket, argument)
        else:
            return end(socket, command, argument)


main()
