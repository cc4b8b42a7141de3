"""Tracks and the ZIP through a real server: whole, in parts, by HEAD, and when files are gone."""

import io
import os
import zipfile

import httpx
import msgspec
import pytest

from server.jobs.service import JobView

from .fakes import TRACKS, FakeJobs


@pytest.fixture
def view(jobs: FakeJobs) -> JobView:
    return jobs.finished()


@pytest.fixture(params=["vocals", "all"])
def url(request: pytest.FixtureRequest, view: JobView) -> str:
    """A track, and the ZIP: both answer alike."""
    return f"/download/{view.id}/{request.param}"


def test_every_track(client: httpx.Client, view: JobView) -> None:
    for name, path in view.tracks.items():
        answer = client.get(f"/download/{view.id}/{name}", headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 200
        assert answer.content == path.read_bytes()
        assert answer.headers["content-type"] == "audio/wav"
        assert answer.headers["content-length"] == str(path.stat().st_size)
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}.wav"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["accept-ranges"] == "bytes"
        assert "content-encoding" not in answer.headers


def test_the_zip(client: httpx.Client, view: JobView) -> None:
    answer = client.get(f"/download/{view.id}/all", headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["content-disposition"] == 'attachment; filename="tracks.zip"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "content-encoding" not in answer.headers
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"{name}.wav" for name, _ in TRACKS]
        for name, path in view.tracks.items():
            assert archive.getinfo(f"{name}.wav").compress_type == zipfile.ZIP_STORED
            assert archive.read(f"{name}.wav") == path.read_bytes()


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


def test_tags_follow_the_files(client: httpx.Client, url: str, view: JobView) -> None:
    before = client.get(url).headers["etag"]
    same = client.get(url, headers={"If-None-Match": before})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", before)
    os.utime(view.tracks["vocals"], ns=(0, 1_000_000_000_000_000_000))
    changed = client.get(url, headers={"If-None-Match": before})
    assert changed.status_code == 200
    assert changed.headers["etag"] != before
    old = {"Range": "bytes=0-9", "If-Range": before}
    assert client.get(url, headers=old).status_code == 200


def test_a_track_that_is_gone(client: httpx.Client, url: str, view: JobView) -> None:
    view.tracks["vocals"].unlink()
    answer = client.get(url)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Track not found"})


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
    jobs.jobs[view.id] = msgspec.structs.replace(view, tracks=tracks)
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
