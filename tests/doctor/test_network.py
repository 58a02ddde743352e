from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.doctor.finding import Level
from app.doctor.network import examine_daily


def anonymous(purpose: int) -> ssl.SSLContext:
    """Speak TLS without certificates, which no server in the world should."""
    tls = ssl.SSLContext(purpose)
    tls.check_hostname = False
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    tls.set_ciphers("AECDH-AES256-SHA:@SECLEVEL=0")
    if purpose == ssl.PROTOCOL_TLS_CLIENT:
        tls.verify_mode = ssl.CERT_NONE
    return tls


@asynccontextmanager
async def server(tls: ssl.SSLContext | None = None, says: bytes = b"") -> AsyncIterator[int]:
    """Listen on a loopback port; without TLS say something and leave, or nothing and stay."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        if not says:
            await reader.read()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def test_host_that_answers_is_well() -> None:
    """A handshake is all that is asked for."""
    async with server(anonymous(ssl.PROTOCOL_TLS_SERVER)) as port:
        finding = await examine_daily(
            "127.0.0.1", port, tls=anonymous(ssl.PROTOCOL_TLS_CLIENT), timeout_s=10
        )

    assert Level.OK is finding.level


async def test_host_that_is_silent_has_a_deadline() -> None:
    """The SDK would wait for 49 s; this does not."""
    async with server() as port:
        finding = await examine_daily("127.0.0.1", port, timeout_s=0.05)

    assert Level.WRONG is finding.level
    assert "did not answer in 0.05 s" in finding.found


async def test_host_that_speaks_something_else_is_wrong() -> None:
    """A proxy that answers for Daily is told apart from none at all."""
    async with server(says=b"HTTP/1.1 403 Forbidden\r\n\r\n") as port:
        finding = await examine_daily("127.0.0.1", port, timeout_s=10)

    assert Level.WRONG is finding.level
    assert "not trusted" in finding.found


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_host_that_is_not_there_is_wrong(host: str) -> None:
    """A closed port and an unknown name are told with what to allow."""
    async with server() as port:
        pass
    finding = await examine_daily(host, port, timeout_s=10)

    assert Level.WRONG is finding.level
    assert "443" in str(finding.advice)
