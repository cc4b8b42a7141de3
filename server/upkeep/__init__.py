"""Backup, restore and audit of a data directory. Knows files and the store, no HTTP and no audio.

All three work beside a running server, which gives a copy of its database when it is asked.
"""
