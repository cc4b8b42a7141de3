"""Faster forwards of networks: the same weights, by the best means of a device."""
