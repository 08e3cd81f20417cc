"""The commands of the Python clients: python3 SCRIPT URL [--header TOKEN | --protocol TOKEN]

Each reads commands from standard input and prints results as JSON, one per line:

    call METHOD    sends a JSON-RPC request; prints the response
    echo COUNT     sends this many numbers to gateway.echo; prints whether they came back
    ping PAYLOAD   sends a ping; prints the pong's payload
    binary         sends a binary message, then does the same as wait
    text LENGTH    sends a text message of this length, then does the same as wait
    calls COUNT    calls gateway.echo this many times with 1 KB, closes the connection at once, prints how many answers
                   came, then does the same as wait
    close CODE     closes the connection, then does the same as wait
    wait           waits until the connection is closed; prints the close code and reason

The first line is the subprotocol, or the HTTP status if the handshake failed.

A script has a class for its package: Client(url, headers, protocols), which raises Refused, with `protocol`, the
methods send, receive and close, which raise Closed, and ping, which returns the pong's payload.
"""

import json
import sys

TIMEOUT = 30


class Refused(Exception):
    """The handshake failed; the argument is the HTTP status."""


class Closed(Exception):
    """The connection is closed; the arguments are the close code and reason."""


def report(**result):
    print(json.dumps(result), flush=True)


def connect(client_class, url, option=None, token=None):
    match option:
        case None:
            return client_class(url, {}, [])
        case "--header":
            return client_class(url, {"Authorization": f"Bearer {token}"}, [])
        case "--protocol":
            return client_class(url, {}, ["aisopod.v1", f"bearer.{token}"])
    sys.exit(__doc__)


def request(identifier, method, **members):
    message = {"jsonrpc": "2.0", "id": identifier, "method": method, **members}
    return json.dumps(message, separators=(",", ":"))


def echo(client, count):
    numbers = list(range(count))
    client.send(request(1, "gateway.echo", params=numbers))
    return json.loads(client.receive())["result"] == numbers


def end(client, command, argument):
    """Runs a command that ends the connection."""
    match command:
        case "binary":
            client.send(b"\x00\xff")
        case "text":
            client.send("x" * int(argument))
        case "calls":
            for identifier in range(int(argument)):
                client.send(request(identifier, "gateway.echo", params={"text": "x" * 1000}))
            client.close(1000)
        case "close":
            client.close(int(argument))
        case "wait":
            pass
        case _:
            sys.exit(f"unknown command: {command}")
    answers = 0
    try:
        while True:
            client.receive()
            answers += 1
    except Closed:
        if command == "calls":
            report(answers=answers)
        raise


def run(client_class):
    try:
        client = connect(client_class, *sys.argv[1:])
    except Refused as refused:
        return report(status=refused.args[0])
    report(protocol=client.protocol or "")
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        try:
            if command == "call":
                client.send(request(argument, argument))
                report(answer=json.loads(client.receive()))
            elif command == "echo":
                report(unchanged=echo(client, int(argument)))
            elif command == "ping":
                report(pong=client.ping(argument))
            else:
                end(client, command, argument)
        except Closed as closed:
            code, reason = closed.args
            return report(code=code, reason=reason)
