"""What is made by hand, when a signal stops it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from callsheet.doors.interrupt import Stopped, all_or_nothing

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def as_in_a_terminal() -> Iterator[None]:
    """What a shell starts in the background ignores SIGINT from birth."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_a_signal_lets_the_command_clean_up_and_gives_its_exit_code(number: signal.Signals) -> None:
    cleaned: list[str] = []

    @all_or_nothing
    def command() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        finally:
            cleaned.append("cleaned")

    with pytest.raises(Stopped) as stopped:
        command()
    assert (stopped.value.exit_code, cleaned) == (128 + number, ["cleaned"])


def test_a_second_signal_does_not_disturb_the_cleaning_up() -> None:
    cleaned: list[str] = []

    @all_or_nothing
    def command() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
            cleaned.append("cleaned")

    with pytest.raises(Stopped, match="SIGTERM"):
        command()
    assert cleaned == ["cleaned"]


def test_programs_that_it_started_end_with_it() -> None:
    children: list[subprocess.Popen[bytes]] = []

    @all_or_nothing
    def command() -> None:
        children.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    with pytest.raises(Stopped):
        command()
    assert children[0].wait() == -signal.SIGKILL


def test_handlers_are_as_they_were_afterwards_and_nohup_stays_nohup() -> None:
    before = {number: signal.getsignal(number) for number in ENDING}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert all_or_nothing(lambda: signal.getsignal(signal.SIGHUP))() is signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before[signal.SIGHUP])
    all_or_nothing(lambda: None)()
    assert {number: signal.getsignal(number) for number in ENDING} == before


def test_an_error_of_its_own_stays_what_it_is() -> None:
    @all_or_nothing
    def command() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        command()
