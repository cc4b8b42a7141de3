"""The store with a million jobs beside an empty one: `python -m loadtests.store`."""
