"""`callsheet doctor`: everything that a run needs, looked at before it is needed.

    findings = examine(Site(Settings.load()), checks_for(...))

All checks run at once, each with its own time limit, and nothing is raised: a check that fails is a finding.
Covers running the checks and showing what they say. ComfyUI is not looked at. What it leaves
behind: one small file an hour under doctor/probe/ of the store, and doctor/probe.txt in the delivery.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from callsheet import project
from callsheet.doors import checks_machine as machine
from callsheet.doors import checks_runpod as rented
from callsheet.doors import checks_services as services
from callsheet.doors.checks_manifest import manifest as check_manifest
from callsheet.doors.finding import Check, Finding, Level, Site, from_error
from callsheet.errors import CallsheetError
from callsheet.redact import redact
from callsheet.settings import Row, Settings

ANYWHERE: tuple[Check, ...] = (
    Check("python", machine.python),
    Check("ffmpeg", machine.ffmpeg),
    Check("fonts", machine.fonts),
    Check("gpu memory", machine.gpu_memory, late=Level.WARNING),
)
"""These need no setting, so a wrong one does not stop them."""

CHECKS: tuple[Check, ...] = (
    *ANYWHERE,
    Check("speech", machine.speech, limit_s=60),
    Check("pictures", machine.pictures, limit_s=60, late=Level.WARNING),
    Check("faces", machine.faces, late=Level.WARNING),
    Check("disk", machine.disk),
    Check("postgresql", machine.postgresql),
    Check("prefect", services.prefect),
    Check("buckets", services.buckets),
    Check("store", services.store, limit_s=60),
    Check("delivery", services.delivery, limit_s=60),
    Check("runpod", services.runpod, late=Level.WARNING),
    Check("network", services.network, late=Level.WARNING),
)
OF_A_MANIFEST = Check("manifest", check_manifest, limit_s=600)

SETTINGS = "settings"
"""Name of the first finding where the settings cannot be read; else there is none of this name."""

_MARKS = {Level.OK: ("✓", "green"), Level.WARNING: ("!", "yellow"), Level.PROBLEM: ("✗", "red")}


def preflight(manifest: Path | None = None) -> tuple[list[Finding], tuple[Row, ...]]:
    """What there is to say about this machine and its settings, and the table of settings without secrets.

    A setting that cannot be read is a finding; then what needs no setting is looked at, and the table has no values.
    """
    try:
        settings = Settings.load()
    except CallsheetError as error:
        unread = Settings.model_construct(CALLSHEET_HOME=Path.cwd())
        rows = tuple(row._replace(value="") for row in unread.table())
        return [from_error(SETTINGS, error), *examine(Site(unread), ANYWHERE)], rows
    checks = (*CHECKS, *(rented.CHECKS if settings.runpod_api_key else ()), *((OF_A_MANIFEST,) if manifest else ()))
    return examine(Site(settings, manifest), checks), settings.table()


def examine(site: Site, checks: Sequence[Check] = CHECKS) -> list[Finding]:
    """Run the checks at the same time; a finding each, in their order. Raises nothing."""
    project.importable()
    secrets = site.settings.secrets()
    answers = [_Answer(check, site) for check in checks]
    return [_without(secrets, answer.wait()) for answer in answers]


class _Answer:
    """A check while it runs, in a thread that cannot keep the program from ending."""

    def __init__(self, check: Check, site: Site) -> None:
        self._check, self._site = check, site
        self._finding: Finding | None = None
        self._deadline = time.monotonic() + check.limit_s
        self._thread = threading.Thread(target=self._look, name=f"doctor: {check.name}", daemon=True)
        self._thread.start()

    def wait(self) -> Finding:
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        if self._finding is not None:
            return self._finding
        return Finding(
            self._check.name, self._check.late, f"no answer within {self._check.limit_s:g} s",
            "check the network and the disk, then run callsheet doctor again",
        )

    def _look(self) -> None:
        try:
            self._finding = self._check.look(self._site)
        except CallsheetError as error:
            self._finding = from_error(self._check.name, error)
        except Exception as error:                    # whatever a broken machine makes of it: the others go on
            words = " ".join(str(error).split())[:300]
            self._finding = Finding(self._check.name, Level.PROBLEM, f"{type(error).__name__}: {words}",
                                    "mend what the message names; if nothing is wrong there, report it")


def _without(secrets: Collection[str], finding: Finding) -> Finding:
    return replace(finding, found=redact(finding.found, secrets), remedy=redact(finding.remedy, secrets))


def failed(findings: Sequence[Finding]) -> bool:
    """Whether something must be mended before a run can succeed."""
    return any(finding.level is Level.PROBLEM for finding in findings)


def as_json(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """name, level, found and remedy of each, as text."""
    return [{name: str(value) for name, value in asdict(finding).items()} for finding in findings]


def show(out: Console, findings: Sequence[Finding]) -> None:
    """A line a check, its remedy below what was found."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        table.add_column(overflow="fold")             # a path must be whole to be of use
    for finding in findings:
        mark, style = _MARKS[finding.level]
        said = Text(finding.found)
        if finding.remedy:
            said.append(f"\n→ {finding.remedy}", "bold" if finding.level is not Level.OK else "dim")
        table.add_row(Text(mark, style), Text(finding.name), said)
    out.print(table, soft_wrap=False)
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    out.print("\n" + ", ".join(_counted(count, level) for level, count in counts.items() if count))


def _counted(count: int, level: Level) -> str:
    return f"{count} {level}{'s' if count > 1 and level is not Level.OK else ''}"


def show_settings(out: Console, rows: Sequence[Row]) -> None:
    """Every setting with the value in force and its meaning."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("setting", "value", "meaning"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(Text("\n".join((row.name, *row.also))), Text(row.value), Text(row.meaning))
    out.print(table, soft_wrap=False)
