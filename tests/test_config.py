"""File, environment and flags; what is wrong is named."""

import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from server.api.v1.wire.common import timestamp
from server.config import defaults_file, forget_secrets, load
from server.engine.library.catalog import configured
from server.errors import ConfigError
from server.starting import place
from server.work.connected import MOST_SLOTS


def test_defaults_are_the_documented_ones() -> None:
    config = load(environ={})
    assert (config.server.host, config.server.port) == ("127.0.0.1", 8000)
    assert config.limits.max_file_size_mb == 500
    assert config.limits.max_queued_jobs == 1000
    assert (config.pipeline.auth, config.pipeline.allow_anonymous) == ("none", False)
    assert config.separation.max_batch == "auto"
    assert (config.jobs.retention_hours, config.jobs.max_attempts) == (24, 3)


def test_flags_beat_environment_beats_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[server]\nport = 9001\n[limits]\nmax_file_size_mb = 7\n')
    environ = {"STEMBOX_SERVER__PORT": "9002", "OTHER": "x"}
    assert load(file, environ={}).server.port == 9001
    config = load(file, environ=environ)
    assert (config.server.port, config.limits.max_file_size_mb) == (9002, 7)
    assert load(file, environ=environ, flags={"server.port": 9003}).server.port == 9003
    assert load(file, environ=environ, flags={"server.port": None}).server.port == 9002


def test_secrets_are_forgotten_however_they_are_spelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes that decode strangers' files inherit the rest."""
    for name in ("STEMBOX_METRICS__TOKEN", "STEMBOX_Metrics__Token"):
        environ = {name: "0123456789abcdef", "STEMBOX_METRICS__ENABLED": "true", "OTHER": "x"}
        assert load(environ=environ).metrics.token == "0123456789abcdef"
        forget_secrets(environ)
        assert environ.keys() == {"STEMBOX_METRICS__ENABLED", "OTHER"}
        monkeypatch.setenv(name, "0123456789abcdef")
        code = "import os; from server.cli import main; main(['keys', 'list']); print(*os.environ)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "STEMBOX_METRICS" not in done.stdout.upper() and "PATH" in done.stdout
        monkeypatch.delenv(name)


@pytest.mark.parametrize(("given", "path"), [
    ("~", "/home/ann"), ("~/data", "/home/ann/data"), ("~nobodys/data", "./~nobodys/data"),
    ("~x", "./~x"), ("a/~", "./a/~"),
])  # fmt: skip
def test_a_tilde_is_what_it_is_in_a_shell(
    monkeypatch: pytest.MonkeyPatch, given: str, path: str
) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    config = load(environ={"STEMBOX_SERVER__DATA_DIR": given, "STEMBOX_SERVER__SCRATCH_DIR": given,
                           "STEMBOX_MODELS__FOLDERS": given})  # fmt: skip
    expected = Path(path).absolute()
    assert config.data_dir == config.scratch_dir == expected
    assert configured(config) == [expected]


def test_lists_and_numbers_from_the_environment() -> None:
    config = load(environ={
        "STEMBOX_FETCH__ALLOW_NETWORKS": "127.0.0.0/8, ::1/128",
        "STEMBOX_MODELS__BEST": "mine",
        "STEMBOX_AUDIO__WORKERS": "3",
        "STEMBOX_PIPELINE__ALLOW_ANONYMOUS": "true",
        "STEMBOX_JOBS__RETENTION_HOURS": "0.5",
    })
    assert config.fetch.allow_networks == ["127.0.0.0/8", "::1/128"]
    assert config.models.tier("BEST") == (["mine"], 0.25)
    assert config.audio_workers == 3
    assert config.pipeline.allow_anonymous
    assert config.jobs.retention_hours == 0.5


@pytest.mark.parametrize(("environ", "words"), [
    ({"STEMBOX_SERVER__PROT": "1"}, ["server.prot", "port"]),
    ({"STEMBOX_SEVER__PORT": "1"}, ["sever", "server"]),
    ({"STEMBOX_SERVER__PORT": "80"}, ["server.port", "1024"]),
    ({"STEMBOX_SERVER__PORT": "many"}, ["server.port", "int"]),
    ({"STEMBOX_SERVER__HOST": "10.0.0.1"}, ["server.host", "0.0.0.0"]),
    ({"STEMBOX_MODELS__FAST": ""}, ["models.fast", "allowed: the name of one model at least"]),
    ({"STEMBOX_MODELS__SIX_STEMS": " , "}, ["models.six_stems", "one model at least"]),
    ({"STEMBOX_PIPELINE__WAV_FORMAT": "MP3"}, ["pipeline.wav_format", "PCM_24"]),
    ({"STEMBOX_SEPARATION__DEVICE": "gpu"}, ["separation.device", "allowed: auto, cpu, cuda"]),
    ({"STEMBOX_STEMSPLIT__PURCHASE_URL": "shop"}, ["stemsplit.purchase_url", "https://example"]),
    ({"STEMBOX_STEMSPLIT__PURCHASE_URL": "javascript:x"}, ["stemsplit.purchase_url", "nothing"]),
    ({"STEMBOX_MODELS__OVERLAP_FAST": "1"}, ["models.overlap_fast", "0.99"]),
    ({"STEMBOX_JOBS__MAX_ATTEMPTS": "0"}, ["jobs.max_attempts", "1"]),
    ({"STEMBOX_SEPARATION__THREADS": "AUTO"}, ["separation.threads", "auto", "1 to 1024"]),
    ({"STEMBOX_METRICS__TOKEN": "short"}, ["metrics.token", "16 characters"]),
    ({"STEMBOX_SERVER__CORS_ORIGINS": "*,x"}, ["server.cors_origins[1]", "https://app.example"]),
    ({"STEMBOX_AUDIO__MEMORY_MB": "1"}, ["audio.memory_mb", "allowed: 256 to 16777216"]),
    ({"STEMBOX_STUDIO__ENABLED": "off"}, ["studio.enabled", "allowed: true, false"]),
    ({"STEMBOX_PRESETS_KARAOKE": "x = 1"}, ["STEMBOX_PRESETS__NAME"]),
    ({"STEMBOX_PRESETS": ""}, ["STEMBOX_PRESETS__NAME"]),
    ({"STEMBOX__PORT": "9000"}, ["STEMBOX__PORT", "STEMBOX_SECTION__PORT"]),
    ({"STEMBOX__": "x"}, ["STEMBOX__", "section"]),
])
def test_what_is_wrong_is_named_with_what_is_allowed(
    environ: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(environ=environ)
    for word in words:
        assert word in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(("name", "value"), [
    ("JOBS__RETENTION_HOURS", "1e9"), ("JOBS__RETENTION_HOURS", "inf"),
    ("JOBS__RETENTION_HOURS", "nan"), ("JOBS__HISTORY_DAYS", "1e12"),
    ("JOBS__DELIVERIES_DAYS", "inf"), ("JOBS__STALL_SECONDS", "inf"),
    ("SERVER__STALL_SECONDS", "inf"), ("SERVER__START_SECONDS", "1e300"),
    ("FETCH__TIMEOUT_S", "inf"), ("FETCH__TOTAL_TIMEOUT_S", "0"),
    ("SEPARATION__MODEL_IDLE_SECONDS", "inf"), ("LIMITS__MIN_AUDIO_SECONDS", "4000"),
    ("SERVER__PUBLIC_URL", "example.com"), ("SERVER__PUBLIC_URL", "https://a/b?c=d"),
    ("SERVER__PUBLIC_URL", "ftp://a"), ("SERVER__PUBLIC_URL", "https://"),
    ("SERVER__CORS_ORIGINS", "foo"), ("SERVER__CORS_ORIGINS", "https://a.example/path"),
    ("SERVER__DATA_DIR", ""),
    ("SERVER__GRACE_SECONDS", "9" * 19), ("AUDIO__MEMORY_MB", "9" * 13),
    ("AUDIO__WORKERS", "9999"), ("SEPARATION__THREADS", "9999"),
    ("SEPARATION__MAX_BATCH", "9999"), ("SEPARATION__MAX_JOBS", str(MOST_SLOTS + 1)),
    ("LIMITS__MAX_UPLOAD_MB", "9" * 13), ("LIMITS__MAX_CONNECTIONS", "9" * 13),
    ("PIPELINE__REQUESTS_PER_MINUTE", "9" * 13), ("MODELS__OVERLAP_FAST", "0.9999999"),
])  # fmt: skip
def test_values_that_would_be_an_error_later_stop_the_start(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name.replace("__", ".").lower()):
        load(environ={f"STEMBOX_{name}": value})


def test_a_worker_may_have_as_many_songs_as_it_is_believed_to() -> None:
    config = load(environ={"STEMBOX_SEPARATION__MAX_JOBS": str(MOST_SLOTS)})
    assert config.separation.max_jobs == MOST_SLOTS


def test_a_folder_of_models_has_a_name(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[models]\nfolders = [""]\n')
    with pytest.raises(ConfigError, match=r"models\.folders"):
        load(file, environ={})


def test_longest_times_can_be_shown() -> None:
    config = load(environ={"STEMBOX_JOBS__RETENTION_HOURS": "876000"})
    assert timestamp(time.time() + 3600 * config.jobs.retention_hours).startswith("21")


def test_addresses_of_ones_own() -> None:
    load(environ={"STEMBOX_SERVER__PUBLIC_URL": "https://stems.example:8443/api"})
    load(environ={"STEMBOX_SERVER__CORS_ORIGINS": "https://a.example, http://b:3000, null"})


@pytest.mark.parametrize("url", [
    "stems.example.org", "https://stems.example.org:99999", "https://stems.example.org:0",
    "https://:80", "https://[::1", "https://me:secret@stems.example.org",
])  # fmt: skip
def test_an_address_that_clients_cannot_read_stops_the_start(url: str) -> None:
    with pytest.raises(ConfigError, match=r"server\.public_url") as caught:
        load(environ={"STEMBOX_SERVER__PUBLIC_URL": url})
    assert "secret" not in caught.value.message


def test_a_file_as_windows_editors_write_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[server]\nport = 9001\n", encoding="utf-8-sig")
    assert load(file, environ={}).server.port == 9001


def test_addresses_are_told_as_urls_have_them() -> None:
    assert place("127.0.0.1", 80) == "127.0.0.1:80"
    assert place("::", 8000) == "[::]:8000"


def test_a_variable_with_one_underline_is_told_how_it_is_written() -> None:
    with pytest.raises(ConfigError, match="STEMBOX_SERVER__DATA_DIR"):
        load(environ={"STEMBOX_SERVER_DATA_DIR": "/x"})
    load(environ={"STEMBOX_MATERIAL": "/x", "STEMBOX_STUDIO_TESTS": "must"})  # no settings


def test_files_that_are_no_settings(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("[server\n")
    flat = tmp_path / "flat.toml"
    flat.write_text("server = 1\n")
    for file in (bad, flat, tmp_path / "none.toml"):
        with pytest.raises(ConfigError, match=file.name):
            load(file, environ={})


def test_another_address_needs_a_decision() -> None:
    with pytest.raises(ConfigError, match="allow_anonymous"):
        load(environ={"STEMBOX_SERVER__HOST": "0.0.0.0"})
    load(environ={"STEMBOX_SERVER__HOST": "0.0.0.0", "STEMBOX_PIPELINE__ALLOW_ANONYMOUS": "true"})


def test_every_key_has_a_comment() -> None:
    text = defaults_file().read_text()
    for section, keys in tomllib.loads(text).items():
        for key in keys:
            line = next(line for line in text.splitlines() if line.startswith(f"{key} ="))
            assert "#" in line, f"{section}.{key}"
