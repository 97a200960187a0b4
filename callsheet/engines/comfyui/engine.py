"""Engine `comfyui`: posters and clips on a ComfyUI server.

The server has the models. A LoRA it either has under its file's name, or it is put into the server's folder, where
CALLSHEET_COMFYUI_LORAS names it. Not covered: starting a server, fetching its models, nodes that it does not come with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from callsheet.engines.base import Ability, Asked, Casting
from callsheet.engines.comfyui import graphs, results
from callsheet.engines.comfyui.casting import LTXV, cast
from callsheet.engines.comfyui.client import ENGINE, ComfyUI
from callsheet.engines.comfyui.first_frame import first_frame
from callsheet.engines.comfyui.running import Job, made
from callsheet.engines.comfyui.server_files import Shelf, clip_family, known_family, put
from callsheet.engines.comfyui.watching import USUAL, Limits
from callsheet.engines.graphs.parts import Lora
from callsheet.engines.graphs.schema import require
from callsheet.errors import AddressRefused, EngineError, EngineUnable, SettingMissing
from callsheet.models import Family
from callsheet.recipes import ClipRecipe, EngineId, LoraUse, PosterRecipe
from callsheet.store.base import Outcome, Room

_ABLE_S = 5.0


class ComfyUIEngine:
    """`loras` is the server's loras folder as this machine sees it; None where it cannot."""

    def __init__(
        self, url: str | None, token: SecretStr | None = None, loras: Path | None = None, limits: Limits = USUAL,
    ) -> None:
        self._url = url
        self._token = token
        self._loras = loras
        self._limits = limits

    @property
    def id(self) -> EngineId:
        return EngineId(name=ENGINE, version=1)

    @property
    def has_mouths(self) -> bool:
        return False

    @property
    def loads_files(self) -> bool:
        """Where the server's folder can be written; else the server has them by name."""
        return self._loras is not None

    def able(self) -> Ability:
        """Whether a server is configured and answers."""
        if not self._url:
            return Ability(False, "no ComfyUI server is configured", "set CALLSHEET_COMFYUI_URL")
        try:
            with ComfyUI(self._url, self._token, timeout_s=_ABLE_S, tries=1) as server:
                server.version()
        except (EngineError, AddressRefused) as error:
            return Ability(False, error.what, error.fix)
        return Ability(True)

    def cast(self, asked: Asked) -> Casting:
        """FLUX for posters, Wan or LTX-Video for clips. Raises WrongFamily naming the file, EngineUnable."""
        return cast(asked, ENGINE)

    def paint(self, recipe: PosterRecipe, room: Room) -> Outcome:
        """A poster. Raises FileMissing, WrongFamily, GraphRefused, OutOfMemory, EngineError, Cancelled."""
        uses = graphs.slots(recipe.loras)
        with self._server() as server:
            loras, shelf = self._stocked(server, uses, Family.FLUX, room)
            build = graphs.poster(recipe, list(zip(uses, loras, strict=True)), shelf)
            here, facts = self._made(server, shelf, build, recipe, room)
        return results.poster(here["main"], recipe, room, ENGINE, facts)

    def shoot(self, recipe: ClipRecipe, room: Room) -> Outcome:
        """A clip. Raises what paint raises, and MediaUnreadable when the recipe's first frame is no picture."""
        uses = graphs.slots(recipe.loras)
        first = first_frame(recipe, room)
        with self._server() as server:
            loras, shelf = self._stocked(server, uses, clip_family(recipe.engine.model), room)
            name = server.upload(first, f"callsheet_{recipe.fingerprint[:16]}.png") if first else ""
            here, facts = self._made(server, shelf, graphs.clip(recipe, loras, name, shelf), recipe, room)
        return results.clip(here["main"], here["last_frame"], recipe, room, ENGINE, facts)

    def _server(self) -> ComfyUI:
        if not self._url:
            raise SettingMissing(subject="ComfyUI server", variable="CALLSHEET_COMFYUI_URL")
        return ComfyUI(self._url, self._token)

    def _stocked(
        self, server: ComfyUI, uses: tuple[LoraUse, ...], family: Family | None, room: Room
    ) -> tuple[list[Lora], Shelf]:
        """The LoRAs as the server calls them, each known to be of the family as far as anybody knows."""
        if family is None and uses:
            raise EngineUnable(engine=ENGINE, what=f"{LTXV} with LoRAs", detail="none that callsheet knows fits it",
                               remedy="choose wan2.2-ti2v-5b, or let clips start from a poster")
        names = []
        for use in uses:
            assert family is not None
            known_family(use, room, family)
            names.append(put(use, self._loras, room, family) if self._loras else "")
        shelf = Shelf(server.nodes(), ENGINE)             # after what was put there
        return [shelf.lora(use, name) for use, name in zip(uses, names, strict=True)], shelf

    def _made(
        self, server: ComfyUI, shelf: Shelf, build: graphs.Build, recipe: PosterRecipe | ClipRecipe, room: Room
    ) -> tuple[Mapping[str, Path], Mapping[str, Any]]:
        """The files of a graph, which is checked against what the server says of its nodes before it is sent."""
        what = f"the {recipe.stage} {recipe.label}".strip()
        job = Job(build, graphs.folder(recipe), what)
        require(job.graph(0), shelf.nodes, ENGINE, what)
        facts = {"comfyui_version": server.version()}
        return made(server, job, room, self._limits), facts

