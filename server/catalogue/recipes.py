"""Which model a run goes through, found and hashed on this machine. Loads none: no torch."""

from server.catalogue.keys import Recipe, model_digest
from server.config import Config, Quality
from server.engine import catalog, pins
from server.engine.catalog import ModelFiles


def recipe_of(
    config: Config, quality: Quality, stems: tuple[str, ...], format: str,
    files: ModelFiles | None = None,
) -> Recipe:  # fmt: skip
    """What a run makes, through `files`, or else the model of the quality's tier.

    Raises ModelError: no model for it is here.
    """
    files = files or catalog.serving(quality, config, stems)
    samples = {"WAV": config.stemsplit.wav_format, "FLAC": config.stemsplit.flac_format}
    return Recipe(
        model=files.name, digest=digest_of(files), stems=stems, format=format,
        samples=samples.get(format, "PCM_16"),
        overlap=catalog.overlap(files.name, quality, config),
    )  # fmt: skip


def digest_of(files: ModelFiles) -> str:
    """One digest of all that a model is made of."""
    return model_digest([pins.digest(path) for path in (files.listing, *files.files)])
