"""Packets to sound by FFmpeg (through PyAV): which stream, by which decoder, and in what pieces.

It opens no files and must not know their headers: that is for `readers`.
"""
