"""A client with the Python package `websocket-client`. Its commands are those of python_commands.py."""

import threading
from queue import Queue

import websocket

from python_commands import TIMEOUT, Closed, Refused, run


class Client:
    def __init__(self, url, headers, protocols):
        # What the callbacks were told, in order. Messages apart from pongs, which come in between.
        self.received, self.pongs, opened = Queue(), Queue(), Queue()
        self.app = websocket.WebSocketApp(
            url,
            header=headers,
            subprotocols=protocols,
            on_open=lambda app: opened.put(app.sock.subprotocol),
            on_error=lambda app, error: opened.put(error),
            on_message=lambda app, message: self.received.put(message),
            on_pong=lambda app, payload: self.pongs.put(payload),
            on_close=lambda app, code, reason: self.received.put(Closed(code or 1006, reason or "")),
        )
        options = {"suppress_origin": True, "http_no_proxy": ["*"]}
        threading.Thread(target=self.app.run_forever, kwargs=options, daemon=True).start()
        self.protocol = opened.get(timeout=TIMEOUT)
        if isinstance(self.protocol, websocket.WebSocketBadStatusException):
            raise Refused(self.protocol.status_code)
        if isinstance(self.protocol, Exception):
            raise self.protocol

    def send(self, message):
        opcode = websocket.ABNF.OPCODE_TEXT if isinstance(message, str) else websocket.ABNF.OPCODE_BINARY
        try:
            self.app.send(message, opcode)
        except (OSError, websocket.WebSocketException):
            pass  # The connection is closed, which receive reports.

    def receive(self):
        message = self.received.get(timeout=TIMEOUT)
        if isinstance(message, Closed):
            raise message
        return message

    def ping(self, payload):
        self.app.sock.ping(payload)
        return bytes(self.pongs.get(timeout=TIMEOUT)).decode()

    def close(self, code):
        # WebSocketApp.close() would drop what arrives after it.
        self.app.sock.send_close(code)


run(Client)
