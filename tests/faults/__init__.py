"""Faults on purpose: a `stembox` that dies where it is told to, and one with known bugs.

The server itself has no switch for any of it: whoever wants faults runs another program, which
wraps what makes changes durable and then calls the same `main`.
"""
