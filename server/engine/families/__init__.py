"""The families of models that the engine runs: one module each, and their list."""

from server.engine.families.demucs import DemucsFamily
from server.engine.families.family import Family
from server.engine.families.mdx23c import MDX23CFamily
from server.engine.families.roformer import BSRoFormerFamily, MelBandRoFormerFamily
from server.engine.families.scnet import SCNetFamily
from server.engine.families.starter import StarterFamily
from server.engine.library.configuration import Configuration

FAMILIES: tuple[Family, ...] = (
    DemucsFamily(), StarterFamily(), BSRoFormerFamily(), MelBandRoFormerFamily(), SCNetFamily(),
    MDX23CFamily(),
)  # fmt: skip
NETWORKS = frozenset(network for family in FAMILIES for network in family.networks)


def family_of(config: Configuration) -> Family:
    """The family of a model by its configuration. Raises ValueError: none, or more than one."""
    if config.family is not None:
        found = [one for one in FAMILIES if config.family in (one.name, *one.aliases)]
    else:
        found = [one for one in FAMILIES if one.recognises(config)]
    if len(found) != 1:
        names = ", ".join(one.name for one in FAMILIES if not isinstance(one, StarterFamily))
        raise ValueError(f"its family is not known; `family:` names one of {names}")
    return found[0]


def family_named(network: str) -> Family:
    """The family of a network's class, by its full name. Raises ValueError: not known."""
    for family in FAMILIES:
        if network in family.networks:
            return family
    raise ValueError(f"{network!r:.80} is no kind of model that is known")
