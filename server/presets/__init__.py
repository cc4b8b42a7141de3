"""Presets: models in a row, and means of models. What the settings say of them is laid out, and a
layout comes down to inferences. Pure: knows neither files nor torch.
"""

from server.presets.layout import NAME, Layout, Preset, Stage, Step, check, lay_out

__all__ = ["NAME", "Layout", "Preset", "Stage", "Step", "check", "lay_out"]
