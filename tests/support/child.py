"""A stand-in for the sandbox process: answers on an inherited socket, and obeys or not.

Run as ``python -m tests.support.child HOW --fd N``; ``HOW`` is ``good``, ``mute`` (never answers),
``broken`` (dies at once) or ``stubborn`` (ignores SIGTERM). ``GET`` answers with its process id and
its environment's ``BRIDGE_*``; ``DELETE`` makes it die with code 3.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys


async def main(how: str, descriptor: int) -> None:
    """Serve until standard input ends."""
    if how == "broken":
        os._exit(7)
    loop = asyncio.get_running_loop()
    if how == "stubborn":
        loop.add_signal_handler(signal.SIGTERM, lambda: None)
    listener = socket.socket(fileno=descriptor)
    if how != "mute":
        await asyncio.start_server(_answer, sock=listener)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await reader.readuntil(b"\r\n\r\n")
    if request.startswith(b"DELETE"):
        os._exit(3)
    seen = {name: value for name, value in os.environ.items() if name.startswith("BRIDGE_")}
    body = json.dumps({"pid": os.getpid(), **seen}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
    writer.write(body)
    await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[3])))
