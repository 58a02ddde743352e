"""Whether Daily can be reached from here."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

from app.doctor.finding import Finding, ok, wrong

DAILY_HOST, DAILY_PORT = "gs.daily.co", 443
"""What every join asks first, whatever the host of its room (measured on daily-python 0.36)."""

TIMEOUT_S = 5.0
"""A healthy TLS handshake takes three round trips; the SDK itself would try for 19 s or more."""

ADVICE = "allow TCP to port 443 of *.daily.co, and UDP out for the media"


async def examine_daily(
    host: str = DAILY_HOST,
    port: int = DAILY_PORT,
    *,
    timeout_s: float = TIMEOUT_S,
    tls: ssl.SSLContext | None = None,
) -> Finding:
    """Open a TLS connection and close it again, within ``timeout_s``."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(
                host, port, ssl=tls or ssl.create_default_context()
            )
    except TimeoutError:
        return wrong("Daily", f"{host} did not answer in {timeout_s:g} s", ADVICE)
    except ssl.SSLError as error:
        return wrong(
            "Daily",
            f"{host} is not trusted: {error.reason}",
            "install ca-certificates, or trust the proxy's certificate with SSL_CERT_FILE",
        )
    except OSError as error:
        return wrong("Daily", f"{host} cannot be reached: {error.strerror or error}", ADVICE)
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(timeout_s):
            await writer.wait_closed()
    return ok("Daily", f"{host} answers")
