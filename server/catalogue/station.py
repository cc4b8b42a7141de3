"""A station on a Ray cluster: a placement group with the model's actor, and tasks beside it.

Ray places all of it on one machine, on another one when that is gone, and repeats a task whose
process died. An actor that died is started by the driver, which knows how often in a row.
"""

from typing import Any, Final

import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from server.catalogue import audio_tasks
from server.catalogue.orders import Order, Prepared, Separated
from server.catalogue.separator import Post, SeparationActor
from server.catalogue.shapes import Shape

Ref = Any  # ray.ObjectRef
CALLS: Final = 1000  # that an actor has at once: all songs under way, and those who watch
REPEATS: Final = 2  # of a task whose process died


class Station:
    """One model on one device, with its helpers."""

    def __init__(self, number: int, shape: Shape, post: Post) -> None:
        self.number = number
        self.folder = post.folder
        self._group = placement_group(shape.bundles, strategy="STRICT_PACK")
        model, audio = (PlacementGroupSchedulingStrategy(self._group, bundle) for bundle in (0, 1))
        self._post = post
        self._actor: Any = None
        self._actors: Any = ray.remote(SeparationActor).options(
            num_cpus=shape.cpus, num_gpus=shape.gpus, max_concurrency=CALLS,
            scheduling_strategy=model,
        )  # fmt: skip
        options = {"num_cpus": shape.each_cpus, "max_retries": REPEATS,
                   "scheduling_strategy": audio}
        self._prepare: Any = ray.remote(audio_tasks.prepare).options(**options)
        self._deliver: Any = ray.remote(audio_tasks.deliver).options(**options)

    def start(self) -> Ref:
        """Starts an actor, in place of one that has died. Ready when the model is."""
        self._end()  # its machine may only have been out of reach
        self._actor = self._actors.remote(self._post)
        return self._actor.hello.remote()

    def watch(self) -> Ref:
        """Fails when the actor dies."""
        return self._actor.watch.remote()

    def prepare(self, order: Order) -> Ref:
        """A `Prepared`, `Unchanged` or `Failure`."""
        return self._prepare.remote(order)

    def separate(self, order: Order) -> Ref:
        """A `Separated` or `Failure`."""
        return self._actor.separate.remote(order)

    def deliver(self, order: Order, prepared: Prepared, separated: Separated) -> Ref:
        """A `Made` or `Failure`."""
        return self._deliver.remote(order, prepared, separated)

    def sweep(self, folder: str) -> Ref:
        """Removes a folder from the station's machine."""
        return self._actor.sweep.remote(folder)

    def close(self) -> None:
        """Ends all of it."""
        self._end()
        remove_placement_group(self._group)

    def _end(self) -> None:
        if self._actor is not None:
            ray.kill(self._actor)
