"""After warm_up nothing compiles any more."""

import importlib
import pkgutil

import numpy as np
from numba.core.dispatcher import Dispatcher

import kernels
from tests.kernels import twins


def compiled():
    """How many versions of each kernel are compiled."""
    names = [module.name for module in pkgutil.iter_modules(kernels.__path__)]
    modules = [importlib.import_module(f"kernels.{name}") for name in names]
    found = [value for module in modules for value in vars(module).values()]
    return {f.py_func.__qualname__: len(f.signatures) for f in found if isinstance(f, Dispatcher)}


@twins.needs_jit
def test_warm_up_compiles_everything():
    kernels.warm_up()
    before = compiled()
    assert len(before) > 10

    y = np.asfortranarray(twins.noise(2, 40_000))
    stream = kernels.HPSSStream(2)
    for part in np.array_split(y, 7, axis=1):
        stream.feed(part)
    stream.finish()
    kernels.hpss(y[:1, ::2].astype(np.float64), margin=(1.0, 3.0), power=1.5)
    kernels.hpss(y[:, :10], power=np.inf)
    meter = kernels.LoudnessMeter(44_100, 2)
    meter.feed(y)
    meter.integrated()
    meter.true_peak()
    kernels.quantise(y, 16)
    kernels.quantise(y, 24)

    assert compiled() == before
