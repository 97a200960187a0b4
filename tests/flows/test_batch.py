"""A shoot in the pool that breaks off fails only the actors whose half is missing."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.logging import disable_run_logger

from callsheet.errors import EngineError
from callsheet.models import Gpu
from callsheet.recipes import TrainCompleteRecipe
from flows import batch
from tasks.run import running

MISSING = TrainCompleteRecipe(label="Leo", sha256="0" * 64)


@pytest.fixture
def shot(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception | None], Any]:
    """What `_one_shoot` says of Ava, whose half is made, and Leo, whose is not, when the pool does this."""
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path))
    films: Any = {who: SimpleNamespace(order=who) for who in ("ava", "leo")}
    monkeypatch.setattr(batch, "replanned", lambda film: film)
    monkeypatch.setattr(batch, "unmade", lambda film: [MISSING] if film.order == "leo" else [])

    def run(error: Exception | None) -> Any:
        def pool(*asked: object) -> None:
            if error:
                raise error

        monkeypatch.setattr(batch, "at_the_pool", pool)
        with running("night", gpu=Gpu.POOL), disable_run_logger():
            return batch._one_shoot(films)

    return run


def test_a_shoot_that_breaks_off_fails_who_is_not_made_with_its_reason(shot: Any) -> None:
    error = EngineError(engine="the gpu pool", what="the shoot", detail="run x ended Crashed")
    assert shot(error) == {"leo": error}


def test_a_shoot_that_ends_well_but_leaves_something_out_says_what(shot: Any) -> None:
    failed = shot(None)
    assert list(failed) == ["leo"]
    assert "train_complete Leo" in str(failed["leo"]) and "the pool ended without it" in str(failed["leo"])
