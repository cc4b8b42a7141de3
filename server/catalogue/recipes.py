"""Which model a run goes through, found and hashed on this machine. Loads none: no torch."""

from server.catalogue.keys import Recipe, model_digest
from server.config import Config, Quality
from server.engine import catalog, pins


def recipe_of(config: Config, quality: Quality, stems: tuple[str, ...], format: str) -> Recipe:
    """What a run makes. Raises ModelError: no model for it is here."""
    files = catalog.serving(quality, config, stems)
    listing = files.folder / f"{files.name}.yaml"
    digest = model_digest([pins.digest(path) for path in (listing, *files.files)])
    samples = {"WAV": config.stemsplit.wav_format, "FLAC": config.stemsplit.flac_format}
    return Recipe(
        model=files.name, digest=digest, stems=stems, format=format,
        samples=samples.get(format, "PCM_16"), overlap=config.models.tier(quality)[1],
    )  # fmt: skip
