"""Tracks and the ZIP through a real server: whole, in parts, by HEAD, and when files are gone."""

import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from server.api.files import downloads
from server.api.files.file_names import attachment
from server.jobs.pipeline_jobs import JobView

from .fakes import TRACKS, FakeJobs
from .zip_streams import read_as_stream


@pytest.fixture
def view(jobs: FakeJobs) -> JobView:
    return jobs.finished()


@pytest.fixture(params=["vocals", "all"])
def url(request: pytest.FixtureRequest, view: JobView) -> str:
    """A track, and the ZIP: both answer alike."""
    return f"/download/{view.id}/{request.param}"


def test_every_track(client: httpx.Client, view: JobView) -> None:
    for name, file in view.tracks.items():
        answer = client.get(f"/download/{view.id}/{name}", headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 200
        assert answer.content == file.path.read_bytes()
        assert answer.headers["content-type"] == "audio/wav"
        assert answer.headers["content-length"] == str(file.size)
        assert answer.headers["content-disposition"] == attachment(f"song - {name}.wav")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["accept-ranges"] == "bytes"
        assert "content-encoding" not in answer.headers


def test_the_zip(client: httpx.Client, view: JobView) -> None:
    answer = client.get(f"/download/{view.id}/all", headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["content-disposition"] == attachment("song.zip")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "content-encoding" not in answer.headers
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"{name}.wav" for name, _ in TRACKS]
        for name, file in view.tracks.items():
            assert archive.getinfo(f"{name}.wav").compress_type == zipfile.ZIP_STORED
            assert archive.read(f"{name}.wav") == file.path.read_bytes()
    assert read_as_stream(answer.content) == {
        f"{name}.wav": file.path.read_bytes() for name, file in view.tracks.items()
    }


def test_head_is_get_without_a_body(client: httpx.Client, url: str) -> None:
    get, head = client.get(url), client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    own = ("date", "x-request-id")
    assert {k: v for k, v in head.headers.items() if k not in own} == {
        k: v for k, v in get.headers.items() if k not in own
    }
    part = client.head(url, headers={"Range": "bytes=0-9"})  # RFC 9110, 14.2: for GET alone
    assert part.status_code == 200
    assert part.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-299999", 100, 300_000),
        ("bytes=299000-", 299_000, None),
        ("bytes=-50", -50, None),
        ("bytes=10-99999999999", 10, None),
    ],
)
def test_one_range(
    client: httpx.Client, url: str, header: str, start: int, stop: int | None
) -> None:
    whole = client.get(url).content
    answer = client.get(url, headers={"Range": header})
    assert answer.status_code == 206
    assert answer.content == whole[start:stop]
    first, behind, _ = slice(start, stop).indices(len(whole))
    assert answer.headers["content-range"] == f"bytes {first}-{behind - 1}/{len(whole)}"
    assert answer.headers["content-length"] == str(len(answer.content))


@pytest.mark.parametrize("header", ["bytes=0-1,5-6", "bytes=5-1", "nonsense", "items=0-1"])
def test_several_ranges_or_none_that_is_valid_give_the_whole(
    client: httpx.Client, url: str, header: str
) -> None:
    answer = client.get(url, headers={"Range": header})
    assert answer.status_code == 200
    assert answer.content == client.get(url).content


def test_a_range_behind_the_end(client: httpx.Client, url: str) -> None:
    size = client.head(url).headers["content-length"]
    answer = client.get(url, headers={"Range": f"bytes={size}-"})
    assert (answer.status_code, answer.json()) == (416, {"detail": "Range not satisfiable"})
    assert answer.headers["content-range"] == f"bytes */{size}"


def test_a_download_taken_up_again_is_the_same_file(client: httpx.Client, url: str) -> None:
    whole = client.get(url)
    tag = {"If-Range": whole.headers["etag"]}
    rest = client.get(url, headers={"Range": "bytes=123456-", **tag})
    assert (rest.status_code, whole.content[:123456] + rest.content) == (206, whole.content)


def test_a_part_of_a_file_that_is_another_by_now_is_not_sent(
    client: httpx.Client, url: str
) -> None:
    tag = client.get(url).headers["etag"]
    part = {"Range": "bytes=5-9"}
    assert client.get(url, headers={"If-Match": tag, **part}).status_code == 206
    answer = client.get(url, headers={"If-Match": '"older"', **part})
    assert (answer.status_code, answer.json()) == (412, {"detail": "The file is another by now"})
    assert answer.headers["content-type"] == "application/json"


def test_tags_follow_the_files(
    client: httpx.Client, url: str, view: JobView, jobs: FakeJobs
) -> None:
    before = client.get(url).headers["etag"]
    same = client.get(url, headers={"If-None-Match": before})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", before)
    file = view.tracks["vocals"]
    file.path.write_bytes(file.path.read_bytes()[::-1])
    written = replace(file, crc=zlib.crc32(file.path.read_bytes()))
    jobs.jobs[view.id] = replace(view, tracks={**view.tracks, "vocals": written})
    changed = client.get(url, headers={"If-None-Match": before})
    assert changed.status_code == 200
    assert changed.headers["etag"] != before
    old = {"Range": "bytes=0-9", "If-Range": before}
    assert client.get(url, headers=old).status_code == 200


def test_the_zip_is_the_same_when_its_files_were_moved(client: httpx.Client, view: JobView) -> None:
    before = client.get(f"/download/{view.id}/all")
    for file in view.tracks.values():
        os.utime(file.path, (1, 1))
    after = client.get(f"/download/{view.id}/all")
    assert (after.headers["etag"], after.content) == (before.headers["etag"], before.content)


def test_a_track_that_is_gone(client: httpx.Client, url: str, view: JobView) -> None:
    view.tracks["vocals"].path.unlink()
    for method in ("GET", "HEAD"):
        assert client.request(method, url).status_code == 404
    assert client.get(url).json() == {"detail": "Track not found"}


def test_a_zip_whose_files_go_before_they_were_ever_summed_up(
    client: httpx.Client, jobs: FakeJobs, view: JobView, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(_: JobView) -> JobView:
        raise FileNotFoundError

    monkeypatch.setattr(jobs, "sum_up", gone)
    answer = client.get(f"/download/{view.id}/all")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Track not found"})


@pytest.mark.parametrize("change", [-1, -299_000, 1])
def test_a_file_that_is_not_what_was_written_is_said(
    client: httpx.Client, url: str, view: JobView, change: int
) -> None:
    path = view.tracks["vocals"].path
    os.truncate(path, path.stat().st_size + change)
    for headers in ({}, {"Range": "bytes=-5"}, {"Range": "bytes=0-5"}):
        answer = client.get(url, headers=headers)
        assert (answer.status_code, answer.json()) == (500, {"detail": "Track vocals is damaged"})
    assert client.get(f"/download/{view.id}/drums").status_code == 200


@pytest.mark.parametrize("harm", ["removed", "cut short"])
def test_what_goes_while_it_is_sent_ends_the_answer_and_adds_nothing(
    client: httpx.Client, jobs: FakeJobs, harm: str
) -> None:
    """The last track is gone, or half of it: the client has all that came before, and no more."""
    view = jobs.finished(size=3_000_000)
    sound = client.get(f"/download/{view.id}/all").content
    path, got = view.tracks["main_percussive"].path, bytearray()
    with client.stream("GET", f"/download/{view.id}/all") as answer:
        assert answer.headers["content-length"] == str(len(sound))
        pieces = answer.iter_raw(100_000)
        got += next(pieces)
        path.unlink() if harm == "removed" else os.truncate(path, 1_000_000)
        with pytest.raises(httpx.RemoteProtocolError):
            got.extend(chain.from_iterable(pieces))
    assert len(got) < len(sound) - 1_000_000
    assert sound.startswith(got)


def test_no_more_is_read_than_is_asked_for(
    client: httpx.Client, view: JobView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a range lies, only the files under it are opened, and only their bytes read."""
    url, opened = f"/download/{view.id}/all", []
    whole = client.get(url).content

    def watch(path: Path, start: int, stop: int) -> Iterator[bytes]:
        opened.append((path.stem, stop - start))
        return read(path, start, stop)

    read = downloads._read_file
    monkeypatch.setattr(downloads, "_read_file", watch)
    assert client.get(url, headers={"Range": "bytes=-22"}).content == whole[-22:]
    assert opened == []
    drums = whole.index(view.tracks["drums"].path.read_bytes())
    span = f"bytes={drums - 10}-{drums + 4}"
    assert client.get(url, headers={"Range": span}).content == whole[drums - 10 : drums + 5]
    assert opened == [("drums", 5)]


@settings(max_examples=100)
@given(start=st.integers(0, 5000), count=st.integers(1, 5000))
def test_any_range_of_the_zip(start: int, count: int) -> None:
    with TemporaryDirectory() as folder:
        view = FakeJobs(Path(folder)).finished(size=300)
        files = list(view.tracks.values())
        source = downloads._zip_source("song", files, view.created_at)
        whole = b"".join(source.read(0, source.size))
        assert len(whole) == source.size
        stop = min(source.size, start + count)
        assert b"".join(source.read(min(start, stop), stop)) == whole[min(start, stop) : stop]


@pytest.mark.parametrize(("file_name", "song"), [
    ("Bj\u00f6rk \u2013 J\u00f3ga.flac", "Bj\u00f6rk \u2013 J\u00f3ga"), ("....mp3", None),
    ('x"; filename="evil.exe', "x_; filename=_evil"), ("a\r\nX-Evil: 1.mp3", "a X-Evil_ 1"),
])  # fmt: skip
def test_downloads_are_named_after_the_song(
    client: httpx.Client, jobs: FakeJobs, file_name: str, song: str | None
) -> None:
    view = jobs.finished(file_name=file_name)
    for url, name in (("vocals", " - vocals.wav"), ("all", ".zip")):
        answer = client.head(f"/download/{view.id}/{url}")
        assert answer.headers["content-disposition"] == attachment((song or view.id) + name)
        assert "x-evil" not in answer.headers


@pytest.mark.parametrize(
    "name", ["guitar", "vocals.wav", "VOCALS", "..", "%2e%2e", "vocals%00", "a%0d%0aX-Evil: 1"]
)
def test_unknown_tracks(client: httpx.Client, view: JobView, name: str) -> None:
    answer = client.get(f"/download/{view.id}/{name}")
    assert answer.status_code == 404
    assert answer.json()["detail"] in ("Track not found", "Not found")
    assert "x-evil" not in answer.headers


def test_no_path_leads_out(client: httpx.Client, jobs: FakeJobs, view: JobView) -> None:
    (jobs.root / "secret").write_text("secret")
    for path in ("../secret", "..%2fsecret", "%2e%2e/%2e%2e/secret", "....//secret"):
        answer = client.get(f"/download/{view.id}/{path}")
        assert answer.status_code == 404
        assert answer.json()["detail"] in ("Track not found", "Not found")


@pytest.mark.parametrize("state", ["processing", "failed"])
def test_a_job_that_is_not_completed(client: httpx.Client, jobs: FakeJobs, state: str) -> None:
    view = jobs.finished(state)
    tracks = {"vocals": view.tracks["vocals"]}
    jobs.jobs[view.id] = replace(view, tracks=tracks)
    answer = client.get(f"/download/{view.id}/all")
    assert (answer.status_code, answer.json()) == (409, {"detail": "Job not completed"})
    assert client.get(f"/download/{view.id}/vocals").status_code == 200
    answer = client.get(f"/download/{view.id}/main")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Track not found"})


def test_one_connection_serves_many_requests(client: httpx.Client, url: str) -> None:
    """Lengths are right to the byte, or the next answer would be garbage."""
    streams = set()
    for header in ({}, {"Range": "bytes=5-9"}, {"Range": "bytes=99999999-"}, {}):
        answer = client.get(url, headers=header)
        streams.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(streams) == 1
