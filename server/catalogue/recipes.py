"""Which model a run goes through, found and hashed on this machine. Loads none: no torch."""

from server.catalogue.keys import Recipe, model_digest
from server.config import Config, Quality
from server.engine.library import choice, pins
from server.engine.library.choice import Choice


def recipe_of(
    config: Config, quality: Quality, stems: tuple[str, ...], format: str,
    found: Choice | None = None,
) -> Recipe:  # fmt: skip
    """What a run makes, through `found`, or else the model of the quality's tier.

    Raises ModelError: no model for it is here.
    """
    found = found or choice.serving(quality, config, stems)
    samples = {"WAV": config.stemsplit.wav_format, "FLAC": config.stemsplit.flac_format}
    return Recipe(
        **choice.work(found, stems, quality, config)._asdict(), digest=digest_of(found),
        stems=stems, format=format, samples=samples.get(format, "PCM_16"),
    )  # fmt: skip


def digest_of(found: Choice) -> str:
    """One digest of all that a model, or a preset's models, are made of."""
    return model_digest([pins.digest(path) for files in found.models
                         for path in (files.listing, *files.files)])
