"""What people wrote is printed as they wrote it."""

from __future__ import annotations

import io

from rich.console import Console

from callsheet.doors import terminal
from callsheet.doors.preview import FilmPlan, StagePlan, show
from callsheet.errors import InputError, ManifestInvalid, Problem
from callsheet.production import Production, Status
from callsheet.recipe import Stage

NASTY = "The end [/] of [red]it[/red] {x}"


def printed(*what: object, **how: object) -> str:
    out = io.StringIO()
    console = Console(file=out, width=200)
    what[0](console, *what[1:], **how)  # type: ignore[operator]
    return out.getvalue()


def test_a_title_with_brackets_is_printed_literally_in_the_final_table() -> None:
    made = Production(title=NASTY, actor_id="ava", status=Status.MADE, video="s3://b/[x]/final.mp4", duration=1.0,
                      format="10x10@24", warnings=(NASTY,))
    failed = Production(title="x", actor_id="leo", status=Status.FAILED, error=NASTY)
    said = printed(terminal.productions, [made, failed], 1.0)
    assert said.count(NASTY) == 3
    assert "s3://b/[x]/final.mp4" in said
    assert "1 made, 1 failed in 1.0 s" in said


def test_a_title_with_brackets_is_printed_literally_in_a_plan() -> None:
    stages = (StagePlan(Stage.MIX, 0, 1, "an input was made anew"),)
    plan = FilmPlan("ava", NASTY, 8.3, False, "10x10@24", ((1, 24, 24),), stages, asked=3.0, troubles=(NASTY,))
    said = printed(show, [plan], [("leo", NASTY)])
    assert said.count(NASTY) == 3
    assert "about 8.30 s" in said and "(asked 3 s; the dialogue needs more)" in said
    assert "1 to make" in said


def test_an_error_with_braces_and_brackets_is_printed_literally() -> None:
    assert NASTY in printed(terminal.error, InputError(detail=NASTY))
    assert f"choose {NASTY}" in printed(terminal.error, InputError(detail="x", remedy=f"choose {NASTY}"))


def test_an_error_for_programs_has_every_problem() -> None:
    problem = Problem("m.csv", "row 2, column seed", "x", "is no number", "write one")
    facts = terminal.as_json(ManifestInvalid([problem]))
    assert facts["code"] == "manifest.invalid"
    assert facts["problems"] == [{"file": "m.csv", "where": "row 2, column seed", "value": "x",
                                  "message": "is no number", "remedy": "write one"}]
