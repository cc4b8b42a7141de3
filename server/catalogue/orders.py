"""What driver, tasks and actors say to each other through Ray: names and numbers, never audio."""

from typing import Any, Literal

from msgspec import Struct

from server.catalogue import locations
from server.catalogue.keys import Recipe
from server.catalogue.rows import Made
from server.work.messages import Options, Task

# Trying again changes nothing; it may; elsewhere it may; none fares better at this station.
Kind = Literal["input", "internal", "missing", "station"]


class Order(Struct, frozen=True, kw_only=True):
    """One attempt at one song, at one station.

    folder: its own, on the station's machine. known: the version of the object whose result is in
    the manifest.
    """

    name: str  # of the attempt
    location: str
    known: str
    folder: str
    output: str  # location of the whole output
    recipe: Recipe
    max_seconds: float
    memory_mb: int  # that reading and encoding may take

    def task(self, stage: str, facts: dict[str, Any]) -> Task:
        """A stage of the server's, in the order's folder."""
        recipe = self.recipe
        options = Options(
            file_name=locations.name_of(self.location), model=recipe.model,
            overlap=recipe.overlap, inferences=recipe.inferences, format=recipe.format,  # type: ignore[arg-type]
            wav_format=recipe.samples, target_lufs=0.0, true_peak_dbtp=0.0,
            max_seconds=self.max_seconds, stems=recipe.stems,
        )  # fmt: skip
        return Task(id=self.name, job=self.name, stage=stage, source=f"{self.folder}/source",
                    scratch=self.folder, outputs=self.folder, options=options, facts=facts)


class Prepared(Struct, frozen=True, kw_only=True):
    """The mix lies in the folder; or the result is there already: `made`."""

    version: str
    content_hash: str
    key: str
    duration: float = 0.0  # seconds of audio
    fetch_s: float = 0.0
    decode_s: float = 0.0
    made: Made | None = None


class Unchanged(Struct, frozen=True):
    """The object is still the one that the manifest's row was made of."""


class Separated(Struct, frozen=True):
    """The stems lie in the folder. peak: the highest sample of all."""

    peak: float
    seconds: float


class Failure(Struct, frozen=True):
    """Why an attempt ended, in a sentence for the manifest. version: of the object, if that was
    read."""

    kind: Kind
    reason: str
    version: str = ""
