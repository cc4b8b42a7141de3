"""A catalogue of songs through the same engine on many machines: Ray places, object storage keeps.

Uses `engine`, `audio` and `work`; knows no server, no database, no jobs. Nothing imports it but
the command line, and what it needs comes with the extra `catalogue`.
"""
