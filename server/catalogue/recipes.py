"""Which model a run goes through, found and hashed on this machine. Loads none: no torch."""

from server.catalogue.keys import Recipe, model_digest
from server.config import Config, Quality
from server.engine.library import choice, pins
from server.engine.library.choice import Choice
from server.stems import OUTPUTS


def recipe_of(
    config: Config, quality: Quality, stems: tuple[str, ...], format: str,
    found: Choice | None = None,
) -> Recipe:  # fmt: skip
    """What a run makes, through `found`, or else the model of the quality's tier.

    In whatever order stems are asked for, they are the same ones, and have one key.

    Raises ModelError: no model for it is here.
    """
    found = found or choice.serving(quality, config, stems)
    stems = _in_order(stems, found.stems or ())
    samples = {"WAV": config.stemsplit.wav_format, "FLAC": config.stemsplit.flac_format}
    return Recipe(
        **choice.work(found, stems, quality, config)._asdict(), digest=digest_of(found),
        stems=stems, format=format, samples=samples.get(format, "PCM_16"),
        precision=config.separation.precision,
    )  # fmt: skip


def _in_order(stems: tuple[str, ...], made: tuple[str, ...]) -> tuple[str, ...]:
    """As an output type has them, else as the model has them, and then by name."""
    for known in OUTPUTS.values():
        if {*known} == {*stems}:
            return known
    first = [stem for stem in made if stem in stems]
    return (*first, *sorted({*stems} - {*first}))


def digest_of(found: Choice) -> str:
    """One digest of all that a model, or a preset's models, are made of."""
    return model_digest([pins.digest(path) for files in found.models
                         for path in (files.listing, *files.files)])
