"""The catalogue's tests: what needs the extra is skipped where it is missing."""
