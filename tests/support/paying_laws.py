"""What must hold of a world's journal, results and jobs once everybody has come to an end."""

from __future__ import annotations

import hashlib
import itertools

from callsheet.costs import Outcome
from callsheet.store.journal import Ended, Entry, Intent, Submitted
from tests.support.paying_world import World


def check(world: World, key: str) -> None:
    entries = world.journal(key)
    _check_fencing(world, key, entries)
    _check_done(world, key, entries)
    _check_submits(world, key, entries)


def _check_fencing(world: World, key: str, entries: list[Entry]) -> None:
    seen: list[str] = []
    for entry in entries:
        if entry.owner not in seen:
            seen.append(entry.owner)
        assert entry.owner == seen[-1], f"P5: {key}: {entry.kind} by {entry.owner}, whom {seen[-1]} had fenced"
    for before, after in itertools.pairwise(entries):
        begins, ended = isinstance(after, Intent), isinstance(before, Ended)
        assert begins == ended or (before.owner == after.owner and isinstance(before, Intent)), (
            f"{key}: {after.kind} of attempt {after.attempt} after {before.kind} of attempt {before.attempt}")


def _check_done(world: World, key: str, entries: list[Entry]) -> None:
    result = world.store.blobs.get(f"results/{key}")
    for entry in entries:
        if isinstance(entry, Ended) and entry.outcome is Outcome.MADE:
            assert result is not None, f"P4: {key} is said to be made and is not"
            assert entry.artifacts == {"main": hashlib.sha256(result).hexdigest()}, f"P4: {key}: another digest"
        if isinstance(entry, Ended) and world.settles:
            assert world.settled.get((key, entry.attempt)), f"{key}: attempt {entry.attempt} ended unsettled"
    for owner in world.owners:
        if owner.key == key and owner.result not in (None, "True", "False"):
            assert result is not None and result.decode() == owner.result, f"P3: {key}: {owner.name} saw another"


def _check_submits(world: World, key: str, entries: list[Entry]) -> None:
    known = {entry.job_id for entry in entries if isinstance(entry, Submitted)}
    jobs = [job for job in world.jobs.values() if job.key == key]
    assert sum(job.rendered for job in jobs) <= 1, f"P1: {key} was rendered twice"
    for job in jobs:
        if job.rendered or job.faulted:
            continue
        owners = [e.owner for e in entries if e.attempt == job.attempt]
        overtaken = len({owner.split("/")[1] for owner in owners}) > 1
        excused = job.lost_answer or job.owner.dead or job.owner.stopped or overtaken
        assert job.id not in known and excused, f"P2: {job.id} for {key} was paid for nothing ({job.state})"
