"""A client with the Python package `aiohttp`. Its commands are those of python_commands.py."""

import asyncio
import threading
from queue import Queue

import aiohttp

from python_commands import TIMEOUT, Closed, Refused, run


class Client:
    def __init__(self, url, headers, protocols):
        # Messages apart from pongs, which come in between.
        self.received, self.pongs = Queue(), Queue()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.socket = self.wait(self.open(url, headers, protocols))
        self.protocol = self.socket.protocol
        # Whether this client closes the connection, so that close_socket reports the end and read doesn't.
        self.closes = False
        self.reader = asyncio.run_coroutine_threadsafe(self.read(), self.loop)

    def wait(self, coroutine):
        """Runs a coroutine in the event loop's thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(TIMEOUT)

    async def open(self, url, headers, protocols):
        self.session = aiohttp.ClientSession()
        # With autoping, aiohttp hides the pongs.
        options = {"autoping": False, "timeout": aiohttp.ClientWSTimeout(ws_close=TIMEOUT)}
        try:
            return await self.session.ws_connect(url, headers=headers, protocols=protocols, **options)
        except aiohttp.WSServerHandshakeError as error:
            await self.session.close()
            raise Refused(error.status) from error

    async def read(self):
        while True:
            message = await self.socket.receive()
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    self.received.put(message.data)
                case aiohttp.WSMsgType.PING:
                    await self.socket.pong(message.data)
                case aiohttp.WSMsgType.PONG:
                    self.pongs.put(message.data)
                case _:
                    if not self.closes:
                        self.received.put(Closed(self.socket.close_code, message.extra or ""))
                    return

    async def close_socket(self, code):
        self.closes = True
        await self.socket.close(code=code)
        await asyncio.wrap_future(self.reader)
        # aiohttp hides the reason here.
        self.received.put(Closed(self.socket.close_code, ""))

    def send(self, message):
        try:
            self.wait(self.socket.send_str(message) if isinstance(message, str) else self.socket.send_bytes(message))
        except ConnectionError:
            pass  # The connection is closed, which receive reports.

    def receive(self):
        message = self.received.get(timeout=TIMEOUT)
        if isinstance(message, Closed):
            raise message
        return message

    def ping(self, payload):
        self.wait(self.socket.ping(payload.encode()))
        return bytes(self.pongs.get(timeout=TIMEOUT)).decode()

    def close(self, code):
        self.wait(self.close_socket(code))


run(Client)
