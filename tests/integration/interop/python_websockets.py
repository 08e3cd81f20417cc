"""A client with the Python package `websockets`. Its commands are those of python_commands.py."""

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from python_commands import TIMEOUT, Closed, Refused, run


class Client:
    # No proxy for connections to this machine. Pings are sent by command only. Close waits for the close frame, so all
    # messages before it must fit into the queue.
    OPTIONS = {
        "proxy": None,
        "ping_interval": None,
        "open_timeout": TIMEOUT,
        "close_timeout": TIMEOUT,
        "max_queue": None,
    }

    def __init__(self, url, headers, protocols):
        try:
            self.socket = connect(url, additional_headers=headers, subprotocols=protocols or None, **self.OPTIONS)
        except InvalidStatus as error:
            raise Refused(error.response.status_code) from error
        self.protocol = self.socket.subprotocol
        self.close = self.socket.close

    def or_closed(self, method, *arguments):
        try:
            return method(*arguments)
        except ConnectionClosed as error:
            raise Closed(self.socket.close_code, self.socket.close_reason) from error

    def send(self, message):
        self.or_closed(self.socket.send, message)

    def receive(self):
        return self.or_closed(self.socket.recv, TIMEOUT)

    def ping(self, payload):
        return payload if self.socket.ping(payload.encode()).wait(TIMEOUT) else None


run(Client)
