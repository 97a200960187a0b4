"""Volume, template, endpoint: the plan with its prices, and applying it any number of times."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from callsheet.errors import AnswerUnknown, InputError, NoCapacity, ProviderError
from callsheet.pricing import card
from callsheet.runpod.orders import EndpointOrder, VolumeOrder
from callsheet.runpod.provision import Found, Step, Wanted, plan
from callsheet.runpod.provisioning import apply, look
from tests.support.fake_account import A40, L40S, FakeAccount, centre

REFERENCE = Path(os.environ.get("CALLSHEET_REFERENCE", Path(__file__).parents[3] / "shared" / "reference"))
WANTED = Wanted(image="studio/callsheet:1", cards=(card("A40"), card("L40S")),
                env={"CALLSHEET_STORE": "s3://studio/store", "R2_SECRET_KEY": "canary-4f1d9e"})


async def no_sleep(_: float) -> None:
    return None


def found(account: FakeAccount) -> Found:
    return asyncio.run(look(account.control()))


def steps(account: FakeAccount, wanted: Wanted = WANTED) -> tuple[Step, ...]:
    return plan(wanted, found(account))


def up(account: FakeAccount, wanted: Wanted = WANTED) -> tuple[Step, ...]:
    return asyncio.run(apply(account.control(), wanted, sleep=no_sleep))


def changes(account: FakeAccount) -> list[tuple[str, str]]:
    return [(method, path) for method, path, _ in account.seen]


def with_volume(account: FakeAccount, size_gb: int, place: str) -> None:
    account.make(
        "network-volumes",
        VolumeOrder(name="personaforge-studio-vol", size_gb=size_gb, data_center=place).payload())


# ---- the plan

def test_an_empty_account_gets_a_volume_a_template_and_an_endpoint() -> None:
    volume, template, endpoint = steps(FakeAccount())
    assert [(one.verb, one.what, one.name) for one in (volume, template, endpoint)] == [
        ("create", "volume", "personaforge-studio-vol"), ("create", "template", "personaforge-studio"),
        ("create", "endpoint", "personaforge-studio")]
    assert volume.order == VolumeOrder(name="personaforge-studio-vol", size_gb=200, data_center="EU-SE-1")
    assert endpoint.order is None, "its volume has no id yet"


def test_planning_changes_nothing() -> None:
    account = FakeAccount()
    steps(account)
    assert account.seen == []


def test_prices_are_said_by_the_month_and_by_the_hour() -> None:
    volume, _, endpoint = steps(FakeAccount())
    assert volume.month_usd == pytest.approx((14, 14))
    assert endpoint.month_usd == (0, 0), "nothing runs while nothing is asked for"
    assert endpoint.hour_usd == pytest.approx((1.224, 1.908))


def test_a_warm_worker_is_priced_around_the_clock() -> None:
    endpoint = steps(FakeAccount(), WANTED.model_copy(update={"cards": (card("A40"),), "warm": 1}))[2]
    assert endpoint.month_usd == pytest.approx((881.28, 881.28))


def test_without_a_catalogue_price_the_list_counts() -> None:
    account = FakeAccount()
    account.gpus = []
    assert steps(account)[2].hour_usd == pytest.approx((0.00034 * 3600, 0.00053 * 3600))


def test_a_large_volume_costs_less_above_a_terabyte() -> None:
    volume = steps(FakeAccount(), WANTED.model_copy(update={"volume_gb": 2000}))[0]
    assert volume.month_usd[0] == pytest.approx(1000 * 0.07 + 1000 * 0.05)


@pytest.mark.parametrize(("centres", "chosen"), [
    ([centre("A", (A40, "LOW")), centre("B", (A40, "HIGH"))], "B"),
    ([centre("A", (A40, "HIGH"), volumes=("HIGH_PERFORMANCE",)), centre("B", (A40, "LOW"))], "B"),
    ([centre("A", (A40, "LOW")), centre("B", (A40, "LOW"), (L40S, "LOW"))], "B"),
    ([centre("B", (A40, "NONE")), centre("A", ("NVIDIA B200", "HIGH"))], "B"),
])
def test_the_volume_goes_where_standard_volumes_and_most_cards_are(centres: list[dict[str, Any]], chosen: str) -> None:
    account = FakeAccount()
    account.centres = centres
    order = steps(account)[0].order
    assert isinstance(order, VolumeOrder)
    assert order.data_center == chosen


def test_no_place_for_the_cards_is_told() -> None:
    account = FakeAccount()
    account.centres = [centre("A", ("NVIDIA B200", "HIGH"))]
    with pytest.raises(NoCapacity, match="no data centre has both standard volumes and A40 or L40S"):
        steps(account)


def test_two_volumes_of_one_name_are_not_chosen_between() -> None:
    account = FakeAccount()
    for _ in range(2):
        with_volume(account, 200, "X")
    with pytest.raises(InputError, match="several volumes are called personaforge-studio-vol: net1, net2"):
        steps(account)
    assert steps(account, WANTED.model_copy(update={"volume_id": "net2"}))[0].id == "net2"


def test_an_id_in_the_settings_that_is_not_there_is_told() -> None:
    with pytest.raises(InputError, match="there is no endpoint gone in the account: correct RUNPOD_ENDPOINT_ID"):
        steps(FakeAccount(), WANTED.model_copy(update={"endpoint_id": "gone"}))


# ---- doing it

def test_up_makes_what_the_spec_says() -> None:
    account = FakeAccount()
    assert [one.verb for one in up(account)] == ["keep"] * 3
    (endpoint,) = account.things["serverless"]
    assert endpoint["workers"] == {"min": 0, "max": 10, "idleTimeout": 5}
    assert endpoint["scaling"] == {"type": "QUEUE_DELAY", "queueDelay": 4.0}
    assert endpoint["flashboot"] == "FLASHBOOT"
    assert endpoint["gpu"] == {"pools": ["AMPERE_48", "ADA_48_PRO"], "count": 1, "minCudaVersion": "13.0",
                               "excludedTypes": ["NVIDIA L40", "NVIDIA RTX A6000"]}
    assert (endpoint["networkVolumes"], endpoint["dataCenterIds"]) == (["net1"], ["EU-SE-1"])
    assert (endpoint["image"], endpoint["args"]) == ("studio/callsheet:1", "handler")
    assert endpoint["env"]["CALLSHEET_STORE"] == "s3://studio/store"
    (volume,) = account.things["network-volumes"]
    assert (volume["size"], volume["type"]) == (200, "STANDARD")


def test_up_twice_changes_nothing_the_second_time() -> None:
    account = FakeAccount()
    up(account)
    before = len(account.seen)
    up(account)
    assert len(account.seen) == before


def test_lists_that_lag_behind_make_nothing_twice() -> None:
    account = FakeAccount()
    account.lag = 6
    up(account)
    assert [len(things) for things in account.things.values()] == [1, 1, 1]


@pytest.mark.parametrize("kind", ["network-volumes", "templates", "serverless"])
def test_a_lost_answer_makes_nothing_twice(kind: str) -> None:
    account = FakeAccount()
    account.lose = [kind]
    up(account)
    assert [len(things) for things in account.things.values()] == [1, 1, 1]


def test_a_request_that_was_lost_is_not_sent_again_by_itself() -> None:
    account = FakeAccount()
    account.refuse = ["network-volumes"]
    with pytest.raises(AnswerUnknown):
        up(account)
    assert changes(account) == [("POST", "network-volumes")]
    up(account)
    assert len(account.things["network-volumes"]) == 1


def test_an_endpoint_that_fell_asleep_is_woken() -> None:
    account = FakeAccount()
    up(account)
    account.things["serverless"][0]["workers"]["max"] = 0
    step = steps(account)[2]
    assert (step.verb, step.words) == ("change", "0 to 10 workers (had 0 to 0), idle 5 s")
    up(account)
    assert account.things["serverless"][0]["workers"]["max"] == 10


def test_a_new_image_reaches_template_and_endpoint() -> None:
    account = FakeAccount()
    up(account)
    up(account, WANTED.model_copy(update={"image": "studio/callsheet:2"}))
    assert account.things["templates"][0]["image"] == "studio/callsheet:2"
    assert account.things["serverless"][0]["image"] == "studio/callsheet:2"


def test_variables_that_somebody_added_stay() -> None:
    account = FakeAccount()
    up(account)
    account.things["serverless"][0]["env"] = {"MINE": "1"}
    step = steps(account)[2]
    assert step.words == "variables CALLSHEET_STORE, R2_SECRET_KEY"
    up(account)
    assert account.things["serverless"][0]["env"] == {"MINE": "1", **WANTED.env}


def test_a_small_volume_grows_and_a_large_one_stays() -> None:
    account = FakeAccount()
    with_volume(account, 50, "EU-RO-1")
    step = steps(account)[0]
    assert (step.verb, step.changes) == ("change", {"size": 200})
    up(account)
    assert account.things["network-volumes"][0]["size"] == 200
    account.things["network-volumes"][0]["size"] = 900
    assert steps(account)[0].verb == "keep"
    assert account.things["serverless"][0]["dataCenterIds"] == ["EU-RO-1"], "workers are where the volume is"


def test_a_name_that_runpod_marked_for_flashboot_is_known() -> None:
    account = FakeAccount()
    up(account)
    account.things["serverless"][0]["name"] = "personaforge-studio -fb"
    assert steps(account)[2].verb == "keep"


def test_a_change_that_is_answered_and_not_carried_out_ends() -> None:
    account = FakeAccount()
    up(account)
    account.deaf = True
    with pytest.raises(ProviderError, match="as if endpoint personaforge-studio were changed, and it is not"):
        up(account, WANTED.model_copy(update={"most": 3}))


def test_no_step_shows_a_secret() -> None:
    account = FakeAccount()
    shown = [steps(account), up(account)]
    account.things["serverless"][0]["env"] = {}
    shown.append(steps(account))
    assert "canary" not in repr(shown) + "".join(one.words for each in shown for one in each)


@pytest.mark.skipif(not (REFERENCE / "runpod-openapi-v2.json").exists(), reason="the reference schema is not here")
def test_what_is_sent_is_what_the_schema_asks_for() -> None:
    from jsonschema import Draft202012Validator

    book = json.loads((REFERENCE / "runpod-openapi-v2.json").read_text())
    account = FakeAccount()
    with_volume(account, 50, "EU-RO-1")
    up(account)
    for update in ({"image": "b:2"}, {"warm": 1}, {"cards": (card("A40"),)}):
        up(account, WANTED.model_copy(update=update))
    kinds = {"network-volumes": "NetworkVolume", "templates": "Template", "serverless": "Endpoint"}
    assert len(account.seen) >= 6
    for method, path, body in account.seen:
        verb = "Create" if method == "POST" else "Update"
        schema = {"components": book["components"],
                  "allOf": [{"$ref": f"#/components/schemas/{verb}{kinds[path.partition('/')[0]]}Request"}]}
        assert [error.message for error in Draft202012Validator(schema).iter_errors(body)] == [], (method, path)


def test_the_endpoints_order_names_volume_template_and_place() -> None:
    account = FakeAccount()
    with_volume(account, 200, "EU-SE-1")
    account.make("templates", {"name": "personaforge-studio", "image": "studio/callsheet:1", "args": "handler",
                               "env": dict(WANTED.env), "serverless": True})
    order = steps(account)[2].order
    assert isinstance(order, EndpointOrder)
    assert (order.volumes, order.template, order.data_centers) == (("net1",), "tem1", ("EU-SE-1",))
