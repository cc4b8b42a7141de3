"""Loads a model's networks from its folder, in either format, and says what its stems are made of.
"""

from typing import Any, NamedTuple

import torch
from demucs.apply import BagOfModels

from server.engine.families import family_named, family_of
from server.engine.families.family import Family
from server.engine.forwards.chunked import Chunked
from server.engine.library import configuration, pins
from server.engine.library.catalog import ModelFiles
from server.engine.library.configuration import Configuration
from server.engine.maskbag import MaskBag, shares_of
from server.engine.masknet import MaskNet
from server.engine.recipes import Formed, recipe_of
from server.engine.weights import build, load_network
from server.errors import ModelError
from server.stems import Recipe, own_sources


class Members(NamedTuple):
    """A model's networks, its recipe, weights (networks, outputs), and the family that they are
    of: in a bag of several, that of the first."""

    networks: list[Any]
    recipe: Recipe
    weights: torch.Tensor
    family: Family


def load_members(files: ModelFiles) -> Members:
    """What makes up a model, from its folder.

    Raises:
        ModelError: a file is damaged or holds something else, or a package is not installed.
    """
    try:
        if files.problem is not None:
            raise ValueError(files.problem)
        pins.check(files)
        return _by_hub(files) if files.config is None else _by_convention(files, files.config)
    except Exception as error:
        raise ModelError(f"model {files.name} cannot be loaded: {error}") from error


def _by_hub(files: ModelFiles) -> Members:
    listing = configuration.read_yaml(files.listing)
    networks = [load_network(path, files.allow_pickle) for path in files.files]
    recipe = recipe_of(listing, networks)
    kind = type(networks[0])
    family = family_named(f"{kind.__module__}.{kind.__qualname__}")
    mixed, shares = listing.get("gains") is not None, shares_of(listing, recipe)
    masks = mixed and all(isinstance(network, MaskNet) for network in networks)
    if shares and not masks:
        raise ValueError("wiener: only for gains over mask networks")
    if mixed:
        for network in networks:
            network.eval().segment = listing.get("segment") or network.segment
    if masks:
        one = MaskBag(networks, recipe, shares).eval()
        return Members([one], own_sources(one.sources), torch.ones(1, len(recipe)), family)
    if mixed:
        weights = torch.block_diag(*(torch.ones(1, len(n.sources)) for n in networks))
        return Members(networks, recipe, weights, family)
    # demucs's own checks, and its rule for segments
    bag = BagOfModels(networks, listing.get("weights"), listing.get("segment")).eval()
    weights = torch.tensor(bag.weights, dtype=torch.float32)
    return Members(list(bag.models), recipe, weights, family)


def _by_convention(files: ModelFiles, config: Configuration) -> Members:
    family = family_of(config)
    plan = family.blueprint(config)
    recipe = config.recipe(plan.outputs)
    network = build(plan, files.files[0]).eval()
    if not hasattr(network, "sources") or not hasattr(network, "segment"):
        names = config.instruments if plan.outputs > 1 else tuple(recipe)[:1]
        network = Chunked(network, names, config.segment).eval()
    return Members([network], recipe, torch.ones(1, plan.outputs), family)


def load_bag(files: ModelFiles) -> BagOfModels:
    """A model from its folder as demucs's `apply_model` runs it. Raises ModelError, also where
    that would not be how the model is to be run."""
    if files.config is not None and files.config.levelled:
        raise ModelError(f"model {files.name} wants whole songs at one level (normalize: true)")
    networks, recipe, weights, _ = load_members(files)
    if list(recipe.values()) == list(own_sources(list(recipe)).values()):
        return BagOfModels(networks, weights.tolist()).eval()
    one: Any = Formed(networks, recipe)
    return BagOfModels([one]).eval()
