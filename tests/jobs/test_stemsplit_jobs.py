"""Accepting a job: what a 402 says, idempotency, stems and models by name."""

import asyncio
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from server.config import load
from server.engine.library import catalog
from server.errors import IdempotencyConflict, InvalidRequest, ModelError, NotEnoughCredits
from server.jobs.idempotency import Idempotency, meaning
from server.jobs.orders import Order
from server.stems import OUTPUTS, SIX
from tests.jobs.ordering import SECONDS, SONG, World, plain, upload
from tests.jobs.ordering import play as play
from tests.net.places import Call, ok


@pytest.mark.parametrize("balance", [0, 1, SECONDS - 1])
def test_a_402_names_the_seconds_of_an_upload(play, balance: int) -> None:
    async def test(world: World) -> None:
        await world.grant(balance)
        key = await upload(world)
        with pytest.raises(NotEnoughCredits) as refused:
            await world.create(upload_key=key)
        assert refused.value.required == SECONDS
        assert world.looked[0][1] == "mine.mp3"
        uploads = world.uploads._uploads
        assert await uploads.drop_oldest_used(world.account) is None, "it is still wanted"
        await world.grant(SECONDS)
        assert (await world.create(upload_key=key))["credits"] == SECONDS
        assert await uploads.drop_oldest_used(world.account) == key

    play(test, plain())


def test_a_402_names_the_seconds_of_a_source_that_was_fetched(play) -> None:
    async def test(world: World) -> None:
        with pytest.raises(NotEnoughCredits) as refused:
            await world.create()
        assert (refused.value.required, world.server.calls) == (1, []), "no work is done for it"
        await world.grant(1)
        with pytest.raises(NotEnoughCredits) as refused:
            await world.create()
        assert refused.value.required == SECONDS
        assert world.left() == []

    play(test, plain())


def test_one_key_and_one_meaning_make_one_job(play) -> None:
    async def test(world: World) -> None:
        await world.grant(1000)
        key = await upload(world)

        def once(**fields: Any) -> dict[str, Any]:
            order = world.order(upload_key=key, **fields)
            return {"once": Idempotency("k", meaning(order)), "upload_key": key} | fields

        first = await world.create(**once(metadata={"a": 1, "b": [2.0]}))
        assert await world.create(**once(metadata={"b": [2], "a": 1.0})) == first
        with pytest.raises(IdempotencyConflict, match="with another request body"):
            await world.create(**once(metadata={"b": [2], "a": True}))
        with pytest.raises(IdempotencyConflict, match="with another kind of API key, live or test"):
            await world.create(**once(metadata={"a": 1, "b": [2]}, test=True))
        assert (await world.credits.balance(world.account))[0] == 1000 - SECONDS

    play(test, plain())


def test_stems_by_name_and_the_model_that_makes_them(play) -> None:
    async def test(world: World) -> None:
        await world.grant(1000)
        job = await world.create(stems=("guitar", "bass"))
        request = await world.request(job["id"])
        options = json.loads((await world.job(job["id"])).options)
        assert (request.tracks, request.model) == (("guitar", "bass"), "starter_fast")
        assert (options["stems"], options["model"]) == (["guitar", "bass"], "starter_fast")
        names = {stage.name for stage in (await world.job(job["id"])).stages}
        assert {"encode/guitar", "encode/bass"} <= names and "encode/vocals" not in names
        other = await world.request((await world.create(model="starter"))["id"])
        assert (other.model, other.tracks) == ("starter", OUTPUTS["BOTH"])
        for order, tracks in (({}, SIX), ({"stems": ("bass",)}, ("bass",)),
                              ({"test": True}, OUTPUTS["BOTH"])):
            fields = {"model": "starter", "whole": "stems" not in order} | order
            whole = await world.request((await world.create(**fields))["id"])
            assert whole.tracks == tracks
        for fields, said in (({"stems": ("kazoo",)}, "No model here makes kazoo"),
                             ({"stems": ("kazoo",), "test": True}, "starter makes no kazoo"),
                             ({"model": "gone"}, "is not on this server")):
            with pytest.raises(InvalidRequest, match=said):
                await world.create(**fields)

    play(test, plain())


@pytest.mark.parametrize("steps", ["{ model = 'own' }", "{ model = 'own', stems = ['vocals'] }"])
def test_a_model_that_is_replaced_while_its_source_comes(
    play, tmp_path: Path, steps: str
) -> None:
    """The job is refused: it would lack a track."""
    listing = tmp_path / "data" / "models" / "own.yaml"

    async def behave(_: Call, writer: asyncio.StreamWriter) -> None:
        listing.write_text("models: [masks]\ngains: {kick: [1, 0, 0, 0, 0, 0, 0]}")
        writer.write(ok(SONG))

    async def test(world: World) -> None:
        await world.grant(100)
        listing.parent.mkdir(exist_ok=True)
        for path in catalog.STARTER.glob("masks.*"):
            shutil.copy(path, listing.parent)
        shutil.copy(catalog.STARTER / "starter_fast.yaml", listing)
        told = {"STEMBOX_PRESETS__VOICES": f"steps = [{steps}]"}
        world.split._config = load(environ=told, flags={"server.data_dir": str(tmp_path / "data")})
        with pytest.raises(ModelError, match="voices has been replaced or removed meanwhile"):
            await world.create(model="voices", stems=("vocals",))
        assert world.left() == []

    play(test, behave)


def test_models_are_looked_for_off_the_event_loop(
    play, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, threads = catalog.find, set()

    def find(*given: Any) -> catalog.ModelFiles | None:
        threads.add(threading.current_thread())
        return found(*given)

    async def test(world: World) -> None:
        await world.grant(100)
        monkeypatch.setattr(catalog, "find", find)
        await world.create(stems=("guitar",))
        assert threads and threading.current_thread() not in threads

    play(test, plain())


def test_orders_without_stems_mean_what_they_did() -> None:
    """An Idempotency-Key from before an upgrade is still answered as it was first."""
    fields = {"account_id": "a", "base_url": "b", "output_type": "BOTH", "quality": "FAST",
              "output_format": "MP3"}
    plain = meaning(Order(**fields))
    assert plain == "ed4dd6cb2924e69a5e88446f349b4ea754455a16156072cc9df723a35967a990"
    assert len({plain, meaning(Order(**fields, stems=("kick",))),
                meaning(Order(**fields, model="starter")),
                meaning(Order(**fields, model="starter", whole=True))}) == 4
