"""Instruments and voices from outside, for training and for hard tests. Nothing of them ships."""
