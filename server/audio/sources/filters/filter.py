"""What all filters have in common. It knows neither what they change nor what they stand on."""

from server.audio.sources.source import Source


class Filter(Source):
    """A source over another one, `source`, which says of itself what that one says.

    Both have one list of warnings: what is warned of below comes out here.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source.format, source.seconds)
        self.codec, self.track, self.warnings = source.codec, source.track, source.warnings
        self._source = source
