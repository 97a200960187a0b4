"""Files that requests name: what is opened, what is refused, and where it ends."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from callsheet.download import Limits, address_of, fetch, shown
from callsheet.errors import AddressRefused, DownloadFailed, DownloadGone, FileMissing, RequestInvalid

BYTES = b"the bytes of a file" * 10
CANARY = "canary-91c2e7"
Answer = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """A server on loopback: what it answers by path, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                site.headers.append(dict(self.headers))
                try:
                    site.answers.get(self.path.partition("?")[0], _missing)(self)
                except OSError:                       # whoever asked went away: some tests are about that
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.allowed = frozenset({("127.0.0.1", self.port)})
        self.ended = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


def _missing(request: BaseHTTPRequestHandler) -> None:
    request.send_error(404)


def says(body: bytes, *, length: int | None = None, status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        if length != -1:
            request.send_header("Content-Length", str(len(body) if length is None else length))
        request.end_headers()
        request.wfile.write(body)
        request.close_connection = True

    return answer


def sends_to(place: str) -> Answer:
    return says(b"", status=302, Location=place)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield site
    site.ended.set()
    site.server.shutdown()
    site.server.server_close()
    thread.join()


# ---- what stands in the request itself


def test_base64_comes_out_as_its_bytes(tmp_path: Path) -> None:
    assert fetch(base64.b64encode(BYTES).decode(), tmp_path, "input.image").read_bytes() == BYTES


def test_base64_in_lines_and_in_the_url_alphabet_is_the_same(tmp_path: Path) -> None:
    text = base64.urlsafe_b64encode(bytes(range(256))).decode()
    lines = "\n".join(text[n:n + 60] for n in range(0, len(text), 60))
    assert fetch(lines, tmp_path, "input.image").read_bytes() == bytes(range(256))


def test_a_data_uri_comes_out_as_its_bytes(tmp_path: Path) -> None:
    text = "data:image/png;base64," + base64.b64encode(BYTES).decode()
    assert fetch(text, tmp_path, "input.image").read_bytes() == BYTES


def test_a_file_lies_in_the_given_folder_under_its_fields_name(tmp_path: Path) -> None:
    made = fetch(base64.b64encode(BYTES).decode(), tmp_path, "input.sfx_tracks[0].url")
    assert made == tmp_path / "input_sfx_tracks_0_url"


@pytest.mark.parametrize(("text", "detail"), [
    ("data:image/png,abc", "is a data-URI without ;base64"),
    ("data:;base64", "is no data-URI"),
    ("data:image/png;base64,abc!", "has broken base64"),
    ("data:image/png;base64,", "is empty"),
    ("portrait.png", "is neither a URL nor base64"),
    ("/etc/passwd", "is neither a URL nor base64"),
    ("../../etc/hostname", "is neither a URL nor base64"),
    ("abcd", "is neither a URL nor base64"),
    ("x" * 100_000 + "!", "is neither a URL nor base64"),
])
def test_a_text_that_is_no_file_is_refused_by_its_field(text: str, detail: str, tmp_path: Path) -> None:
    with pytest.raises(RequestInvalid, match=r"field input\.image") as caught:
        fetch(text, tmp_path, "input.image")
    assert detail in str(caught.value), str(caught.value)


def test_a_local_path_is_no_file_unless_it_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(BYTES)
    with pytest.raises(RequestInvalid, match="neither a URL nor base64"):
        fetch(str(tmp_path / "a.png"), tmp_path, "input.image")


def test_too_much_base64_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    with pytest.raises(RequestInvalid, match="is over 0"):
        fetch("A" * 4096, tmp_path, "input.image", limits=Limits(max_inline_bytes=1024))


# ---- paths, where they are allowed


def test_a_path_is_copied_so_that_the_file_cannot_change_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(BYTES)
    (tmp_path / "in").mkdir()
    made = fetch(str(tmp_path / "a.png"), tmp_path / "in", "input.image", local=True)
    assert made == tmp_path / "in" / "input_image.png" and made.read_bytes() == BYTES


def test_a_path_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match=r"pictures/none\.png is not there \(input\.image\)"):
        fetch("pictures/none.png", tmp_path, "input.image", local=True)


def test_a_large_local_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(BYTES)
    with pytest.raises(RequestInvalid, match="is over"):
        fetch(str(tmp_path / "a.png"), tmp_path, "input.image", local=True, limits=Limits(max_bytes=10))


# ---- addresses


@pytest.mark.parametrize("url", [
    "http://127.0.0.1/a", "http://localhost/a", "http://127.1/a", "http://2130706433/a", "http://0x7f000001/a",
    "http://0177.0.0.1/a", "http://0/a", "http://[::1]/a", "http://[::ffff:127.0.0.1]/a", "http://[::]/a",
    "http://localhost./a", "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/a", "http://10.0.0.1/a",
    "http://192.168.1.1/a", "http://172.16.0.1/a", "http://100.64.0.1/a", "http://0.0.0.0/a", "http://224.0.0.1/a",
    "http://[fe80::1]/a", "http://[64:ff9b::7f00:1]/a", "http://①②⑦.⓪.⓪.①/a", "https://127.0.0.1/a",
    "http://[::ffff:169.254.169.254]/a", "http://2852039166/", "http://127.0.0.1:443/a",
])
def test_no_spelling_of_a_private_address_is_opened(url: str, tmp_path: Path) -> None:
    with pytest.raises((AddressRefused, DownloadFailed)) as caught:
        fetch(url, tmp_path, "input.image", limits=Limits(connect_s=1))
    unknown = url == "http://localhost./a"             # some systems do not know that name at all
    assert unknown or isinstance(caught.value, AddressRefused), str(caught.value)


@pytest.mark.parametrize("url", [
    "http://127.0.0.1:{port}/a", "http://localhost:{port}/a", "http://127.1:{port}/a", "http://[::ffff:7f00:1]:{port}/a",
])
def test_a_server_on_loopback_is_never_asked_unless_it_is_allowed(url: str, site: Site, tmp_path: Path) -> None:
    site.answers["/a"] = says(BYTES)
    with pytest.raises(AddressRefused, match="is neither 80 nor 443"):
        fetch(url.format(port=site.port), tmp_path, "input.image")
    assert site.asked == []


def test_allowing_one_name_of_a_host_does_not_allow_another(site: Site, tmp_path: Path) -> None:
    site.answers["/a"] = says(BYTES)
    with pytest.raises(AddressRefused):
        fetch(f"http://localhost:{site.port}/a", tmp_path, "input.image", allowed=site.allowed)
    assert site.asked == []


@pytest.mark.parametrize(("url", "detail"), [
    ("ftp://example.com/a", "ftp is neither http nor https"),
    ("file:///etc/passwd", "file is neither http nor https"),
    ("gopher://127.0.0.1:70/_x", "gopher is neither http nor https"),
    ("s3://bucket/key", "s3 is neither http nor https"),
    ("concat:/etc/passwd", "concat is neither http nor https"),
    ("http://example.com:22/a", "port 22 is neither 80 nor 443"),
    ("https://example.com:8443/a", "port 8443 is neither 80 nor 443"),
    ("https://example.com:99999/a", "it is no web address"),
    ("https:///a", "it is no web address"),
    ("https://", "it is no web address"),
    ("https://exa mple.com/a", "characters in it that no address has"),
    ("https://example.com\\@127.0.0.1/a", "characters in it that no address has"),
    ("https://example.com/a\r\nHost: x", "characters in it that no address has"),
    ("https://[::1/a", "it is no web address"),
])
def test_an_address_that_will_not_be_opened_says_why(url: str, detail: str, tmp_path: Path) -> None:
    with pytest.raises(AddressRefused, match=detail):
        fetch(url, tmp_path, "input.image")


def test_credentials_in_an_address_are_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(AddressRefused, match="there are credentials in it") as caught:
        fetch(f"https://me:{CANARY}@example.com/a?token={CANARY}", tmp_path, "input.image")
    assert CANARY not in f"{caught.value}{caught.value.facts}"


def test_a_url_for_people_has_no_user_no_password_and_no_query() -> None:
    assert shown(f"https://me:{CANARY}@example.com:443/a/b.png?sig={CANARY}#x") == "https://example.com:443/a/b.png"


def test_an_allowed_host_may_have_any_port() -> None:
    assert address_of("http://Studio.Local:9000/a", frozenset({("studio.local", 9000)})).port == 9000


# ---- what a server does


def test_a_file_is_fetched_with_its_suffix(site: Site, tmp_path: Path) -> None:
    site.answers["/a.PNG"] = says(BYTES)
    made = fetch(site.url("/a.PNG?x=1"), tmp_path, "input.image", allowed=site.allowed)
    assert made == tmp_path / "input_image.png" and made.read_bytes() == BYTES


def test_a_server_is_told_nothing_about_this_machine(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login me password {CANARY}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    site.answers["/a"] = says(BYTES)
    fetch(site.url("/a"), tmp_path, "input.image", allowed=site.allowed)
    assert set(site.headers[0]) <= {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}, site.headers[0]


def test_a_proxy_of_this_machine_is_not_used(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", site.url(""))
    with pytest.raises(AddressRefused, match="private address"):
        fetch("http://127.0.0.1/a", tmp_path, "input.image")
    assert site.asked == []


@pytest.mark.parametrize(("count", "fine"), [(5, True), (6, False)])
def test_five_redirects_are_followed_and_a_sixth_is_not(count: int, fine: bool, site: Site, tmp_path: Path) -> None:
    site.answers["/0"] = says(BYTES)
    for n in range(1, count + 1):
        site.answers[f"/{n}"] = sends_to(f"/{n - 1}")
    if fine:
        assert fetch(site.url(f"/{count}"), tmp_path, "input.image", allowed=site.allowed).read_bytes() == BYTES
        return
    with pytest.raises(AddressRefused, match="redirected over 5 times"):
        fetch(site.url(f"/{count}"), tmp_path, "input.image", allowed=site.allowed)


@pytest.mark.parametrize(("place", "detail"), [
    ("http://169.254.169.254/latest/", "it leads to a private address"),
    ("http://localhost/a", "it leads to a private address"),
    ("file:///etc/passwd", "it is no web address"),
    ("http://127.0.0.1:1/", "port 1 is neither 80 nor 443"),
    ("//me:pass@example.com/", "there are credentials in it"),
])
def test_a_redirect_is_checked_like_the_first_address(place: str, detail: str, site: Site, tmp_path: Path) -> None:
    site.answers["/a"] = sends_to(place)
    with pytest.raises(AddressRefused, match=detail):
        fetch(site.url("/a"), tmp_path, "input.image", allowed=site.allowed)


def test_a_file_that_says_it_is_too_large_is_not_read(site: Site, tmp_path: Path) -> None:
    site.answers["/a"] = says(b"x", length=10**12)
    with pytest.raises(RequestInvalid, match=r"field input\.image: is over 512 MB"):
        fetch(site.url("/a"), tmp_path, "input.image", allowed=site.allowed)


def test_a_file_that_does_not_say_how_large_it_is_is_cut_off_at_the_cap(site: Site, tmp_path: Path) -> None:
    site.answers["/a"] = says(b"x" * 300_000, length=-1)
    limits = Limits(max_bytes=100_000)
    with pytest.raises(RequestInvalid, match="is over"):
        fetch(site.url("/a"), tmp_path, "input.image", allowed=site.allowed, limits=limits)
    assert (tmp_path / "input_image").stat().st_size <= 100_000


def test_a_file_that_ends_early_is_a_failed_download(site: Site, tmp_path: Path) -> None:
    site.answers["/a"] = says(BYTES, length=len(BYTES) + 5)
    with pytest.raises(DownloadFailed) as caught:
        fetch(site.url("/a"), tmp_path, "input.image", allowed=site.allowed)
    assert caught.value.retryable


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_server_that_drips_is_left_at_the_deadline(part: str, site: Site, tmp_path: Path) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if part == "body" else b"X: "))
        while not site.ended.wait(0.02):
            request.wfile.write(b"x")
            request.wfile.flush()
        request.close_connection = True

    site.answers["/a"] = drip
    with pytest.raises(DownloadFailed, match=r"no end after 0\.4 s"):
        fetch(site.url("/a"), tmp_path, "input.image", allowed=site.allowed, limits=Limits(deadline_s=0.4))


@pytest.mark.parametrize(("status", "kind"), [(404, DownloadGone), (403, DownloadGone), (500, DownloadFailed),
                                              (429, DownloadFailed), (206, DownloadFailed)])
def test_another_answer_than_the_file_is_told_with_its_status(
    status: int, kind: type[DownloadFailed], site: Site, tmp_path: Path
) -> None:
    site.answers["/a"] = says(b"", status=status)
    with pytest.raises(DownloadFailed, match=f"HTTP {status}") as caught:
        fetch(site.url(f"/a?sig={CANARY}"), tmp_path, "input.image", allowed=site.allowed)
    assert type(caught.value) is kind
    assert CANARY not in str(caught.value)


def test_a_compressed_answer_is_refused_so_that_it_cannot_grow(site: Site, tmp_path: Path) -> None:
    site.answers["/a"] = says(b"x", Content_Encoding="gzip")
    with pytest.raises(DownloadFailed, match="compressed"):
        fetch(site.url("/a"), tmp_path, "input.image", allowed=site.allowed)


def test_an_empty_file_is_refused(site: Site, tmp_path: Path) -> None:
    site.answers["/a"] = says(b"")
    with pytest.raises(RequestInvalid, match="is empty"):
        fetch(site.url("/a"), tmp_path, "input.image", allowed=site.allowed)


def test_a_server_that_is_not_there_is_told_without_the_query(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))                  # bound, but nobody listens
        port = taken.getsockname()[1]
        with pytest.raises(DownloadFailed, match="no connection") as caught:
            fetch(f"http://127.0.0.1:{port}/a?sig={CANARY}", tmp_path, "input.image",
                  allowed=frozenset({("127.0.0.1", port)}))
    assert CANARY not in str(caught.value) and caught.value.__suppress_context__
