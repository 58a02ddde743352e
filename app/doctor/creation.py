"""``doctor --create-persona``: makes a persona that fits the audio path in use."""

from __future__ import annotations

from dataclasses import dataclass

from app.core.persona import Misfit, Persona, echo_persona
from app.core.spec import AudioPathName, NamedId
from app.doctor.account import configured
from app.runtime.tavus_api import TavusApi
from app.settings import Settings

NAME = "Avatar Bridge"
"""How the persona is called in Tavus's lists, followed by its audio path."""


@dataclass(frozen=True, slots=True)
class Creation:
    """A persona that now exists."""

    pal: NamedId
    misfits: tuple[Misfit, ...]
    """What Tavus shows of it that is not what was asked for."""
    brings_face: bool
    """Whether sessions need to name no replica."""

    @property
    def line(self) -> str:
        """What to write into ``.env``."""
        return f"TAVUS_{self.pal.name.upper()}={self.pal.value}"


async def create_persona(tavus: TavusApi, settings: Settings) -> Creation:
    """Make it and look at it. Costs nothing; raises a ``TavusError``."""
    path = AudioPathName(settings.audio_path)
    face, _ = configured(settings)
    pal = await tavus.create_persona(echo_persona(path, f"{NAME} {path}", face))
    persona = Persona.parse(await tavus.persona(pal))
    return Creation(pal, tuple(persona.misfits(path)), face is not None)
