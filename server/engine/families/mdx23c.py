"""MDX23C, the TFC-TDF network of its third version (Kim et al., 2023), with the modules of msst."""

from typing import Any

from server.engine.families.family import Blueprint, ChunkedFamily
from server.engine.library.configuration import Configuration


class MDX23CFamily(ChunkedFamily):
    """It asks for the whole configuration, and for its keys as attributes."""

    name = "mdx23c"

    def recognises(self, config: Configuration) -> bool:
        return {"num_subbands", "bottleneck_factor", "growth"} <= config.section("model").keys()

    def blueprint(self, config: Configuration) -> Blueprint:
        outputs = 1 if config.target is not None else len(config.instruments)
        sections = Attributes({name: Attributes(config.section(name))
                               for name in ("audio", "model", "training")})  # fmt: skip
        return Blueprint("msst.models.mdx23c_tfc_tdf_v3.TFC_TDF_net", outputs, (sections,),
                         extra="msst")


class Attributes(dict[str, Any]):
    """A dictionary whose keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the configuration has no {name}") from None
