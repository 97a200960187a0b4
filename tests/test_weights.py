"""Weights: what the catalogue says, and downloads that break, go on, are checked and appear whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from callsheet.errors import AddressRefused, DownloadFailed, DownloadGone, InputError
from callsheet.weights import CATALOGUE, Pinned, Weights, weights
from callsheet.weights_fetch import Standing, fetch, standing_of
from callsheet.weights_hub import File, Hub
from tests.support.weights_server import REPO, WeightsServer, git_sha1, serving

BIG = bytes(range(256)) * 4000
SMALL = b'{"model": "tiny"}'
MODEL = Weights(name="tiny", what="for tests", licence="MIT", folder="diffusers/tiny", gb=0.001, repo=REPO,
                files=("*.json", "unet/*"))


@pytest.fixture
def server() -> Iterator[WeightsServer]:
    with serving() as state:
        state.files = {"config.json": SMALL, "unet/model.safetensors": BIG}
        yield state


def take(server: WeightsServer, folder: Path, of: Weights = MODEL, token: str = "secret-token") -> Standing:
    with Hub(SecretStr(token), server.hub) as hub:
        return fetch([of], folder, hub, pause_s=0.001)


def visible(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.startswith(".")}


ONLY = MODEL.model_copy(update={"files": ("unet/*",)})
WHOLE = {"diffusers/tiny/config.json": SMALL, "diffusers/tiny/unet/model.safetensors": BIG}


# ---- the catalogue

def test_every_entry_says_its_licence_and_where_its_files_come_from() -> None:
    assert len({each.name for each in CATALOGUE}) == len(CATALOGUE)
    for each in CATALOGUE:
        assert each.licence, each.name
        assert bool(each.repo and each.files) != bool(each.pinned), each.name
        assert not each.folder.startswith("/"), each.name
        assert all(one.url.startswith("https://") for one in each.pinned), each.name


def test_all_of_it_fits_on_the_volume_that_the_spec_asks_for() -> None:
    assert sum(each.gb for each in CATALOGUE) < 200


def test_no_two_entries_share_a_folder_of_pipelines() -> None:
    folders = [each.folder for each in CATALOGUE if "/" in each.folder]
    assert len(set(folders)) == len(folders)


def test_unknown_weights_are_told_which_there_are() -> None:
    assert weights("Wan-5B").repo == "Wan-AI/Wan2.2-TI2V-5B-Diffusers"
    with pytest.raises(InputError, match="no weights 'wan': choose of flux-dev"):
        weights("wan")


# ---- downloads

def test_files_appear_whole_in_their_folder(server: WeightsServer, tmp_path: Path) -> None:
    standing = take(server, tmp_path)
    assert visible(tmp_path) == WHOLE
    assert standing.bytes_left == len(BIG) + len(SMALL)
    assert not list(tmp_path.rglob("*.part"))


def test_what_is_there_is_not_fetched_again(server: WeightsServer, tmp_path: Path) -> None:
    take(server, tmp_path)
    before = len(server.bytes_sent())
    standing = take(server, tmp_path)
    assert (len(standing.there), standing.to_fetch) == (2, ())
    assert len(server.bytes_sent()) == before


def test_a_file_that_somebody_put_there_is_read_through_once_and_taken(server: WeightsServer, tmp_path: Path) -> None:
    target = tmp_path / "diffusers/tiny/unet/model.safetensors"
    target.parent.mkdir(parents=True)
    target.write_bytes(BIG)
    assert [file.path for file in take(server, tmp_path).there] == ["diffusers/tiny/unet/model.safetensors"]


def test_another_file_in_the_way_is_refused_and_kept(server: WeightsServer, tmp_path: Path) -> None:
    target = tmp_path / "diffusers/tiny/config.json"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"my own")
    with pytest.raises(InputError, match=r"config\.json is another file than the hub's"):
        take(server, tmp_path)
    assert visible(tmp_path) == {"diffusers/tiny/config.json": b"my own"}


def test_a_broken_connection_is_gone_on_from_where_it_broke(server: WeightsServer, tmp_path: Path) -> None:
    server.cut_after = [300_000, 200_000]
    take(server, tmp_path, ONLY)
    assert visible(tmp_path)["diffusers/tiny/unet/model.safetensors"] == BIG
    asked = [one.range for one in server.bytes_sent() if one.host == "store"]
    assert asked == ["", "bytes=300000-", "bytes=500000-"]


def test_a_download_that_was_given_up_goes_on_the_next_time(server: WeightsServer, tmp_path: Path) -> None:
    server.cut_after = [400_000]
    server.statuses = [200, *[503] * 6]
    with pytest.raises(DownloadFailed, match="HTTP 503"):
        take(server, tmp_path, ONLY)
    assert visible(tmp_path) == {}
    standing = take(server, tmp_path, ONLY)
    assert standing.bytes_left == len(BIG) - 400_000
    assert visible(tmp_path)["diffusers/tiny/unet/model.safetensors"] == BIG


def test_a_server_without_ranges_sends_it_all_again(server: WeightsServer, tmp_path: Path) -> None:
    server.knows_ranges = False
    server.cut_after = [300_000]
    take(server, tmp_path, ONLY)
    assert visible(tmp_path)["diffusers/tiny/unet/model.safetensors"] == BIG


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_server_in_trouble_is_asked_again(status: int, server: WeightsServer, tmp_path: Path) -> None:
    server.statuses = [status] * 5
    take(server, tmp_path)
    assert visible(tmp_path) == WHOLE


def test_wrong_bytes_are_fetched_once_more_and_never_shown(server: WeightsServer, tmp_path: Path) -> None:
    server.corrupt = 1
    take(server, tmp_path, ONLY)
    assert visible(tmp_path) == {"diffusers/tiny/unet/model.safetensors": BIG}
    shutil.rmtree(tmp_path / "diffusers")
    server.corrupt = 2
    with pytest.raises(DownloadFailed, match="its digest is .* not "):
        take(server, tmp_path, ONLY)
    assert visible(tmp_path) == {}


def test_a_new_version_of_a_file_begins_anew(server: WeightsServer, tmp_path: Path) -> None:
    server.cut_after = [300_000]
    server.statuses = [200, *[500] * 6]
    with pytest.raises(DownloadFailed):
        take(server, tmp_path, ONLY)
    server.files = {"unet/model.safetensors": BIG[::-1]}
    take(server, tmp_path, ONLY)
    assert visible(tmp_path) == {"diffusers/tiny/unet/model.safetensors": BIG[::-1]}


def test_at_most_two_files_come_at_once(server: WeightsServer, tmp_path: Path) -> None:
    server.files = {f"unet/{n}.safetensors": BIG[n:] for n in range(6)}
    server.slow_s = 0.05
    take(server, tmp_path, ONLY)
    assert server.most_at_once == 2


def test_progress_ends_at_each_files_size(server: WeightsServer, tmp_path: Path) -> None:
    had: dict[str, int] = {}
    with Hub(None, server.hub) as hub:
        fetch([MODEL], tmp_path, hub, progress=lambda file, bytes_: had.__setitem__(file.path, bytes_))
    assert had == {path: len(data) for path, data in WHOLE.items()}


def test_too_small_a_disk_is_told_before_the_first_byte(
    server: WeightsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callsheet.weights_fetch.shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 30))
    with pytest.raises(InputError, match="1.1 GB free, and 0.0 GB are to come"):
        take(server, tmp_path)
    assert server.bytes_sent() == []


def test_two_downloads_of_one_file_do_not_mix(server: WeightsServer, tmp_path: Path) -> None:
    server.slow_s = 0.5
    errors: list[Exception] = []

    def other() -> None:
        try:
            take(server, tmp_path)
        except DownloadFailed as error:
            errors.append(error)

    threads = [threading.Thread(target=other) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert visible(tmp_path) == WHOLE
    assert len(errors) == 1
    assert "another download of it is running" in str(errors[0])


# ---- who is told what

def test_the_token_is_told_to_the_hub_alone(server: WeightsServer, tmp_path: Path) -> None:
    server.gated = True
    take(server, tmp_path)
    assert {one.token for one in server.seen if one.host == "hub"} == {"Bearer secret-token"}
    assert {one.token for one in server.seen if one.host == "store"} == {""}


def test_a_redirect_back_to_the_hub_is_asked_without_the_token(server: WeightsServer, tmp_path: Path) -> None:
    server.back_to_hub = True
    take(server, tmp_path)
    assert visible(tmp_path) == WHOLE
    back = [one for one in server.seen if one.path.startswith("/small")]
    assert back
    assert {one.token for one in back} == {""}


def test_a_gated_repository_says_what_to_do_and_the_token_is_in_no_message(
    server: WeightsServer, tmp_path: Path
) -> None:
    server.gated = True
    with pytest.raises(DownloadGone, match="HTTP 401.*accept its licence on the hub's page, and set HF_TOKEN") as said:
        take(server, tmp_path, token="canary-4f1d9e")
    assert "canary" not in str(said.value)


def test_an_error_repeats_no_signature(server: WeightsServer, tmp_path: Path) -> None:
    server.statuses = [410] * 10
    with pytest.raises(DownloadGone) as said:
        take(server, tmp_path)
    assert "canary" not in str(said.value)


def test_a_file_without_a_digest_is_not_fetched(server: WeightsServer, tmp_path: Path) -> None:
    server.tells_digest = False
    with pytest.raises(DownloadGone, match="neither its digest nor its size"):
        take(server, tmp_path)
    assert server.bytes_sent() == []


def test_a_renamed_file_of_the_catalogue_is_told(server: WeightsServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadGone, match=r"it has no vae/\*"):
        take(server, tmp_path, MODEL.model_copy(update={"files": ("*.json", "vae/*")}))


def test_a_file_name_that_leads_elsewhere_is_refused(server: WeightsServer, tmp_path: Path) -> None:
    server.files["unet/../../../evil"] = b"x"
    with pytest.raises(DownloadGone, match="a file is called"):
        take(server, tmp_path)


def test_only_https_is_asked_beyond_this_machine() -> None:
    with pytest.raises(AddressRefused, match="it is not https"):
        Hub(None, "http://hub.example")


def test_a_pinned_file_is_checked_against_the_catalogue(server: WeightsServer, tmp_path: Path) -> None:
    server.files["gan.pth"] = SMALL
    url = f"{server.hub}/other/resolve/main/gan.pth"
    right = Pinned(url=url, sha256=hashlib.sha256(SMALL).hexdigest(), size=len(SMALL))
    pinned = Weights(name="gan", what="", licence="MIT", folder="upscale_models", gb=0.1, pinned=(right,))
    take(server, tmp_path, pinned)
    assert visible(tmp_path) == {"upscale_models/gan.pth": SMALL}
    wrong = right.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(DownloadFailed, match="its digest is"):
        take(server, tmp_path / "b", pinned.model_copy(update={"pinned": (wrong,)}))


def test_both_kinds_of_digest_are_understood(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)
    for digest in (hashlib.sha256(SMALL).hexdigest(), git_sha1(SMALL)):
        assert standing_of([File("https://hub/a", "a", digest, len(SMALL))], tmp_path).to_fetch == ()
        (tmp_path / ".a.digest").unlink()


@pytest.mark.parametrize("place", ["store", "hub"])
def test_a_list_of_files_that_goes_on_elsewhere_or_for_ever_is_refused(
    server: WeightsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr("callsheet.weights_hub._MOST", 20)
    server.next_page = f"{getattr(server, place)}/api/models/{REPO}/tree/main"
    with pytest.raises(DownloadFailed, match="goes on elsewhere, or has no end"):
        take(server, tmp_path)
    assert all(one.host == "hub" for one in server.seen)
