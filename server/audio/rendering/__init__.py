"""Renders what is asked for of finished tracks: a mix of them, or a file of stems for DJ software.

`stages` is what the audio pool runs.
"""
