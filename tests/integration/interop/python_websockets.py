"""A client with the Python package `websockets`: python3 python_websockets.py URL [--header TOKEN | --protocol TOKEN]

Reads commands from standard input and prints results as JSON, one per line:

    call METHOD    sends a JSON-RPC request; prints the response
    ping PAYLOAD   sends a ping; prints the pong's payload
    binary         sends a binary message, then does the same as wait
    text LENGTH    sends a text message of this length, then does the same as wait
    close CODE     closes the connection, then does the same as wait
    wait           waits until the connection is closed; prints the close code and reason

The first line is the subprotocol, or the HTTP status if the handshake failed.
"""

import json
import sys

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

TIMEOUT = 30


def report(**result):
    print(json.dumps(result), flush=True)


def options(arguments):
    # No proxy for connections to this machine. Pings are sent by command only.
    common = {"proxy": None, "ping_interval": None, "open_timeout": TIMEOUT, "close_timeout": TIMEOUT}
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
    report(answer=json.loads(socket.recv(timeout=TIMEOUT)))


def ping(socket, payload):
    if not socket.ping(payload.encode()).wait(TIMEOUT):
        sys.exit("no pong with the ping's payload")
    report(pong=payload)


def end(socket, command, argument):
    """Runs a command that ends the connection; prints the close code and reason."""
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
            socket.recv(timeout=TIMEOUT)
    except ConnectionClosed:
        report(code=socket.close_code, reason=socket.close_reason)


def main():
    try:
        socket = connect(sys.argv[1], **options(sys.argv[2:]))
    except InvalidStatus as error:
        return report(status=error.response.status_code)
    report(protocol=socket.subprotocol or "")
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "call":
            call(socket, argument)
        elif command == "ping":
            ping(socket, argument)
        else:
            return end(socket, command, argument)


main()
