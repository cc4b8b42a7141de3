"""SCNet (Tong et al., 2024), with the modules of msst."""

from server.engine.families.family import Blueprint, ChunkedFamily
from server.engine.library.configuration import Configuration


class SCNetFamily(ChunkedFamily):
    """Bands of the spectrum, each narrowed by a rate of its own."""

    name = "scnet"

    def recognises(self, config: Configuration) -> bool:
        return {"dims", "band_SR", "band_stride"} <= config.section("model").keys()

    def blueprint(self, config: Configuration) -> Blueprint:
        model = dict(config.section("model"))
        if model.get("audio_channels", 2) != 2:
            raise ValueError("model.audio_channels: want 2")
        sources = model.setdefault("sources", list(config.instruments))
        if not isinstance(sources, list):
            raise ValueError("model.sources is a list")
        return Blueprint("msst.models.scnet.scnet.SCNet", len(sources), kwargs=model, extra="msst")
