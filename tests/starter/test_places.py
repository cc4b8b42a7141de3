"""Where material lies: below a folder that is named, or installed; or what to install."""

import pytest

from server.starter.recorded import places


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A root of the system without anything installed, and no folder named."""
    monkeypatch.setattr(places, "SYSTEM", tmp_path / "root")
    monkeypatch.delenv(places.VARIABLE, raising=False)
    return tmp_path / "root"


@pytest.mark.parametrize("inside", ["usr/share/x", "bells/usr/share/x"])
def test_a_named_folder_may_hold_packages_each_apart_or_all_in_one(
    tmp_path, system, monkeypatch, inside
):
    (tmp_path / "given" / inside).mkdir(parents=True)
    (system / "usr/share/x").mkdir(parents=True)
    assert places.find("bells", "usr/share/x") == system / "usr/share/x"
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "given"))
    assert places.find("bells", "usr/share/x") == tmp_path / "given" / inside


def test_what_is_not_in_the_folder_may_be_installed(tmp_path, system, monkeypatch):
    (system / "usr/share/x").mkdir(parents=True)
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "given"))
    assert places.find("bells", "usr/share/x") == system / "usr/share/x"


def test_what_is_missing_is_said(system):
    assert places.find("bells", "usr/share/x") is None
    with pytest.raises(FileNotFoundError, match=r"apt-get install bells.*STEMBOX_MATERIAL"):
        places.require("bells", "usr/share/x")
    assert places.advice(["a", "b", "a"]).count(" a ") == 1
