"""Which pod is asked for first, and that asking never makes two and losing an answer never loses a pod."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from callsheet.errors import (
    AnswerUnknown,
    Fenced,
    NoCapacity,
    ProviderDenied,
    ProviderError,
    ProviderRefused,
    ProviderUnpaid,
)
from callsheet.pricing import card
from callsheet.runpod.answers import Pod
from callsheet.runpod.orders import PodOrder
from callsheet.runpod.pods import candidates, pod_name, release, rent
from tests.support.pod_account import A40, L40S, Account, Time, answer, offer

CARDS = (card("L40S"), card("A40"))
NAME = pod_name("0c3a1f5e-8f4a-4d55-9a53-6a4f0a0f0001")


def order(gpu: str = A40, place: str = "EU-RO-1") -> PodOrder:
    return PodOrder(name=NAME, image="studio", gpu=gpu, data_centers=(place,))


ORDERS = [order(A40, "EU-RO-1"), order(A40, "US-KS-2"), order(L40S, "EU-RO-1")]


class Notes:
    def __init__(self) -> None:
        self.ids: list[str] = []

    async def __call__(self, pod: Pod) -> None:
        self.ids.append(pod.id)


def rented(account: Account, orders: list[PodOrder] = ORDERS, notes: Any = None) -> Pod:
    return asyncio.run(rent(
        account, orders, notes or Notes(), back_to(account), sleep=account.time.sleep))  # type: ignore[arg-type]


def back_to(account: Account) -> Any:
    async def given_back(pod: Pod) -> None:
        await release(account, pod.id)  # type: ignore[arg-type]

    return given_back


def test_free_cards_come_first_then_cheap_ones_then_the_places_with_most() -> None:
    offers = {
        "SECURE": [
            offer(A40, 0.79, {"EU-RO-1": "LOW", "US-KS-2": "HIGH", "EU-CZ-1": "NONE"}),
            offer(L40S, 0.99, {"EU-RO-1": "HIGH"}),
        ],
        "COMMUNITY": [offer(L40S, 0.5, {"CA-1": "MEDIUM"}, community=True)],
    }
    found = candidates(CARDS, offers)  # type: ignore[arg-type]
    told = [(each.gpu, each.cloud, each.data_center) for each in found]
    assert told == [
        (L40S, "COMMUNITY", "CA-1"), (A40, "SECURE", "US-KS-2"), (A40, "SECURE", "EU-RO-1"),
        (L40S, "SECURE", "EU-RO-1"), (L40S, "COMMUNITY", None), (A40, "SECURE", None), (L40S, "SECURE", None),
    ]


def test_only_the_data_centres_that_are_named_are_asked_even_those_that_seem_full() -> None:
    offers = {"SECURE": [offer(A40, 0.79, {"EU-RO-1": "NONE", "US-KS-2": "HIGH"})]}
    found = candidates(CARDS, offers, data_centers=("EU-RO-1",))  # type: ignore[arg-type]
    assert [(each.data_center, each.availability) for each in found] == [("EU-RO-1", "NONE")]


def test_the_price_is_of_the_whole_machine() -> None:
    found = candidates(CARDS, {"SECURE": [offer(A40, 0.8, {"EU-RO-1": "HIGH"})]}, count=2)
    assert found[0].rate.usd_per_second * 3600 == pytest.approx(1.6)


def test_a_card_that_a_cloud_does_not_offer_is_not_asked_for() -> None:
    assert candidates(CARDS, {"COMMUNITY": [offer(A40, 0.79, {})]}) == []
    assert candidates(CARDS, {"SECURE": [offer(A40, 0.79, {})]}, count=9) == []


def test_without_a_catalogue_list_prices_order_the_candidates() -> None:
    found = candidates(CARDS, {"SECURE": []})
    assert [(each.gpu, each.rate.source) for each in found] == [(A40, "list"), (L40S, "list")]


def test_no_capacity_here_asks_for_the_next_one() -> None:
    account = Account(Time())
    account.refusals = [answer(400), answer(400), None]
    assert rented(account).gpu.id == L40S  # type: ignore[union-attr]
    assert len(account.alive) == 1


def test_no_capacity_anywhere_says_how_many_were_tried_and_what_was_answered_last() -> None:
    account = Account(Time())
    account.refusals = [answer(400, "no machine")] * 3
    with pytest.raises(NoCapacity, match="3 combinations.*no machine"):
        rented(account)


@pytest.mark.parametrize(
    ("status", "kind"), [(422, ProviderRefused), (401, ProviderDenied), (402, ProviderUnpaid), (404, ProviderRefused)])
def test_what_no_other_card_changes_stops_at_once(status: int, kind: type[ProviderError]) -> None:
    account = Account(Time())
    account.refusals = [answer(status)]
    with pytest.raises(kind):
        rented(account)
    assert len(account.orders) == 1


def test_a_card_that_the_account_may_not_have_is_skipped() -> None:
    account = Account(Time())
    account.refusals = [answer(403)]
    assert rented(account).id == "pod1"
    account = Account(Time())
    account.refusals = [answer(403)] * 3
    with pytest.raises(ProviderDenied):
        rented(account)


def test_a_busy_provider_is_given_the_time_it_asks_for() -> None:
    account = Account(Time())
    account.refusals = [answer(429)]
    assert rented(account).data_center_id == "EU-RO-1"
    assert account.time.seconds == 7.0


def test_a_pod_whose_answer_was_lost_is_found_by_its_name_and_not_made_again() -> None:
    account, notes = Account(Time()), Notes()
    account.refusals, account.lost = [answer(502)], [True]
    assert rented(account, notes=notes).id == "pod1"
    assert len(account.orders) == 1
    assert notes.ids == ["pod1"]


def test_a_request_that_surely_failed_is_sent_again_for_the_same_card() -> None:
    account = Account(Time())
    account.refusals = [answer(502), answer(502)]
    assert rented(account).data_center_id == "EU-RO-1"
    assert len(account.orders) == 3
    assert len(account.alive) == 1


def test_a_provider_that_never_answers_is_unknown_in_the_end() -> None:
    account = Account(Time())
    account.refusals = [answer(502)] * 10
    with pytest.raises(AnswerUnknown):
        rented(account)


def test_a_pod_of_that_name_is_taken_instead_of_a_new_one() -> None:
    account, notes = Account(Time()), Notes()
    account.make(order())
    assert rented(account, notes=notes).id == "pod1"
    assert account.orders == []
    assert notes.ids == ["pod1"]


def test_a_pod_that_cannot_be_noted_is_given_back() -> None:
    account = Account(Time())

    async def fails(pod: Pod) -> None:
        raise RuntimeError("the journal is away")

    with pytest.raises(RuntimeError):
        rented(account, notes=fails)
    assert account.deleted == ["pod1"]


def test_who_was_taken_over_leaves_the_pod_to_the_new_owner_unless_there_are_two() -> None:
    async def fenced(pod: Pod) -> None:
        raise Fenced(key=NAME)

    account = Account(Time())
    with pytest.raises(Fenced):
        rented(account, notes=fenced)
    assert list(account.alive) == ["pod1"]


def test_a_cancellation_between_order_and_answer_loses_no_handle() -> None:
    account, notes = Account(Time()), Notes()
    waiting = asyncio.Event()

    class Slow(Account):
        async def create_pod(self, wanted: PodOrder) -> Pod:
            waiting.set()
            await asyncio.sleep(0.05)
            return await account.create_pod(wanted)

    async def cancelled() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(rent, Slow(account.time), ORDERS, notes, back_to(account))
            await waiting.wait()
            group.cancel_scope.cancel()

    asyncio.run(cancelled())
    assert notes.ids == list(account.alive) == ["pod1"]


def test_nothing_is_ordered_any_more_once_it_is_not_wanted() -> None:
    account = Account(Time())

    async def unwanted() -> None:
        if account.orders:
            raise RuntimeError("cancelled")

    account.refusals = [answer(400)]
    with pytest.raises(RuntimeError):
        asyncio.run(rent(
            account, ORDERS, Notes(), back_to(account), check=unwanted,  # type: ignore[arg-type]
            sleep=account.time.sleep))
    assert len(account.orders) == 1


def test_a_delete_is_repeated_until_it_worked_and_gone_is_as_good() -> None:
    account = Account(Time())
    pod = account.make(order())
    account.delete_fails = 3

    async def twice() -> tuple[bool, bool]:
        first = await release(account, pod.id, clock=account.time, sleep=account.time.sleep)  # type: ignore[arg-type]
        return first, await release(account, pod.id)  # type: ignore[arg-type]

    assert asyncio.run(twice()) == (True, False)
    assert account.alive == {}


def test_a_delete_that_never_works_is_told_in_the_end() -> None:
    account = Account(Time())
    account.delete_fails = 1000
    with pytest.raises(ProviderError):
        asyncio.run(release(account, "pod1", patience_s=60, clock=account.time, sleep=account.time.sleep))  # type: ignore[arg-type]
    assert account.time.seconds >= 60
