"""What can be found out on this machine alone."""

from __future__ import annotations

import os
import re
import tempfile
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from app.doctor.finding import Finding, ok, warning, wrong
from app.settings import LOOPBACK_HOSTS, RoomKind, Settings

SDK = "daily-python"
SDK_RANGE = ((0, 36), (1, 0))
"""The versions that the service is written for: from the first, below the second."""


def examine_machine(settings: Settings) -> list[Finding]:
    """Make all checks that need nobody else."""
    return [
        ok("settings", f"room {settings.room_kind}, audio path {settings.audio_path}"),
        examine_sdk(installed(SDK), needed=settings.room_kind is RoomKind.DAILY),
        examine_data_dir(settings.data_dir),
        examine_public_url(settings),
        examine_api_keys(settings),
    ]


def installed(distribution: str) -> str | None:
    """Return the installed version of a package without importing it; None: there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def examine_sdk(version: str | None, *, needed: bool) -> Finding:
    """Check that the SDK of Daily is there. It is not loaded: its mistakes end whole processes."""
    (least_major, least_minor), (below, _) = SDK_RANGE
    wanted = f"{SDK}>={least_major}.{least_minor},<{below}"
    if version is None:
        complain = wrong if needed else warning
        return complain(SDK, "not installed", f"pip install '{wanted}'")
    major, minor = (int(part) for part in [*re.findall(r"\d+", version), "0", "0"][:2])
    if SDK_RANGE[0] <= (major, minor) < SDK_RANGE[1]:
        return ok(SDK, version)
    return warning(SDK, f"{version} was never tried with this service", f"pip install '{wanted}'")


def examine_data_dir(folder: Path) -> Finding:
    """Check that state can be kept, by writing a file that is gone at once."""
    check, shown = "data directory", folder.absolute()
    try:
        if folder.is_dir():
            with tempfile.TemporaryFile(dir=folder):
                return ok(check, f"{shown} is writable")
        parent = next(place for place in shown.parents if place.exists())
        if not folder.exists() and parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
            return ok(check, f"{shown} will be made")
    except OSError as error:
        return wrong(check, f"{shown}: {error.strerror}", "set BRIDGE_DATA_DIR to a folder of ours")
    return wrong(
        check, f"{shown} cannot be written to", "set BRIDGE_DATA_DIR to a folder that can be"
    )


def examine_public_url(settings: Settings) -> Finding:
    """Check the address that clients and Tavus are told."""
    check, url = "public URL", settings.public_url
    if url is None:
        return ok(check, "not set: stream_url follows each request's Host; Tavus calls nobody back")
    parts = urlsplit(url)
    if parts.username is not None or parts.query or parts.fragment:
        return wrong(
            check,
            "BRIDGE_PUBLIC_URL holds more than scheme, host and path",
            "leave out user, query and fragment",
        )
    is_local = parts.hostname in LOOPBACK_HOSTS
    if not is_local and not settings.api_keys:
        return wrong(
            check,
            f"{url} is public, but without BRIDGE_API_KEYS only this machine may call",
            "set BRIDGE_API_KEYS",
        )
    if settings.room_kind is RoomKind.DAILY and is_local:
        return warning(
            check,
            f"{url} leads to this machine only, where Tavus cannot call back",
            "set BRIDGE_PUBLIC_URL to the address seen from outside, or leave it empty",
        )
    if parts.scheme == "http" and not is_local:
        return warning(
            check,
            f"{url} carries API keys and tokens in the clear",
            "put TLS in front and let BRIDGE_PUBLIC_URL start with https://",
        )
    return ok(check, url)


def examine_api_keys(settings: Settings) -> Finding:
    """Check who may make us spend money."""
    count = len(settings.api_keys)
    if count:
        return ok("API keys", f"{count} configured, listening on {settings.host}")
    if settings.host in LOOPBACK_HOSTS:
        return ok("API keys", f"none, and only this machine may call {settings.host}")
    return wrong(
        "API keys",
        f"none, but everybody can reach {settings.host}",
        "set BRIDGE_API_KEYS, or BRIDGE_HOST=127.0.0.1",
    )
