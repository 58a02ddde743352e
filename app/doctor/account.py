"""What Tavus says about the key, the replica and the persona that are configured."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from app import errors
from app.api.schemas import SessionCreate
from app.core.persona import STOCK_PERSONAS, Persona, stock_path, wrong_microphone
from app.core.spec import AudioPathName, NamedId
from app.doctor.finding import Finding, ok, warning, wrong
from app.runtime.tavus_api import TavusApi
from app.settings import Settings

UNKNOWN = (errors.TavusRejected, errors.TavusForbidden)
"""How Tavus says that an id is none of its own, or none for this key."""


async def examine_account(tavus: TavusApi, settings: Settings) -> list[Finding]:
    """Ask Tavus, at no cost. Every call has the deadline of ``tavus``."""
    reached = await _examine_key(tavus)
    if any(finding.advice for finding in reached):
        return [
            *reached,
            *(
                warning(check, "not checked", "first put right what is above")
                for check in ("persona", "replica")
            ),
        ]
    path = AudioPathName(settings.audio_path)
    face, pal = configured(settings)
    persona, of_persona = await _examine_persona(tavus, pal, path)
    return [
        *reached,
        *_examine_names(settings),
        *of_persona,
        await _examine_replica(tavus, face or _brought_along(persona, pal)),
    ]


def configured(settings: Settings) -> tuple[NamedId | None, NamedId]:
    """Return the replica and the persona of a session that names neither."""
    stock = stock_persona(AudioPathName(settings.audio_path))
    try:
        spec = SessionCreate().spec(settings)
    except errors.InvalidRequest:  # nothing says who shall speak
        return None, stock
    return spec.face, spec.pal or stock


def stock_persona(path: AudioPathName) -> NamedId:
    """Return Tavus's own persona for a way of sending audio."""
    return NamedId("persona_id", STOCK_PERSONAS[path])


async def _examine_key(tavus: TavusApi) -> list[Finding]:
    try:
        await tavus.ping()
    except (errors.TavusUnauthorized, errors.TavusForbidden) as error:
        return [
            ok("Tavus", "it answers"),
            wrong(
                "Tavus key",
                error.detail,
                "set TAVUS_API_KEY to a key of the developer portal; one may be tied to IPs",
            ),
        ]
    except errors.TavusRateLimited as error:
        return [warning("Tavus", error.detail, "try again in a minute")]
    except errors.TavusError as error:
        return [
            wrong("Tavus", error.detail, "check TAVUS_BASE_URL and the way out to tavusapi.com:443")
        ]
    return [ok("Tavus", "it answers"), ok("Tavus key", "it is accepted")]


def _examine_names(settings: Settings) -> list[Finding]:
    """Find what is given under both names: only the older one counts."""
    pairs = (
        ("TAVUS_REPLICA_ID", settings.tavus_replica_id, "TAVUS_FACE_ID", settings.tavus_face_id),
        ("TAVUS_PERSONA_ID", settings.tavus_persona_id, "TAVUS_PAL_ID", settings.tavus_pal_id),
    )
    return [
        warning(
            "settings", f"{newer} is not used: {older} is set too", f"remove {older}, or {newer}"
        )
        for older, old_value, newer, new_value in pairs
        if old_value and new_value
    ]


async def _examine_persona(
    tavus: TavusApi, pal: NamedId, path: AudioPathName
) -> tuple[Persona | None, list[Finding]]:
    body, trouble = await _read(tavus.persona(pal), "persona", pal)
    if body is None:
        stock = stock_path(pal.value)
        if stock is None:
            return None, [trouble]
        if stock is path:
            # Whether Tavus shows its stock personas to everybody is not documented.
            return None, [ok("persona", f"{pal.value} is a stock persona for {path}")]
        misfit = wrong_microphone(path)
        return None, [wrong("persona", f"{pal.value}: {misfit.what}", misfit.advice)]
    persona = Persona.parse(body)
    misfits = persona.misfits(path)
    if misfits:
        return persona, [
            wrong("persona", f"{pal.value}: {misfit.what}", misfit.advice) for misfit in misfits
        ]
    name = f"{pal.value} ({persona.name})" if persona.name else pal.value
    return persona, [ok("persona", f"{name} speaks what it is sent, on {path}")]


def _brought_along(persona: Persona | None, pal: NamedId) -> NamedId | None:
    if persona is None or persona.face_id is None:
        return None
    return NamedId("face_id" if pal.name == "pal_id" else "replica_id", persona.face_id)


async def _examine_replica(tavus: TavusApi, face: NamedId | None) -> Finding:
    if face is None:
        return warning(
            "replica",
            "none is configured and the persona brings none: each session must name one",
            "set TAVUS_REPLICA_ID",
        )
    body, trouble = await _read(tavus.replica(face), "replica", face)
    if body is None:
        return trouble
    status = body.get("status")
    if isinstance(status, str) and status not in {"completed", "ready"}:
        return warning("replica", f"{face.value} is {status}", "wait until Tavus has completed it")
    name = body.get("replica_name") or body.get("face_name")
    return ok("replica", f"{face.value} ({name})" if name else face.value)


async def _read(
    reading: Awaitable[dict[str, Any]], what: str, named: NamedId
) -> tuple[dict[str, Any] | None, Finding]:
    """Read something of Tavus; what comes instead is a finding."""
    try:
        return await reading, ok(what, named.value)
    except UNKNOWN as error:
        return None, wrong(
            what,
            f"{named.value} is not there: {error.detail}",
            f"check TAVUS_{named.name.upper()}",
        )
    except errors.TavusError as error:
        return None, warning(what, f"{named.value} could not be read: {error.detail}", "try again")
