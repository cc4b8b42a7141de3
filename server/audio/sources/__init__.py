"""Strangers' audio files as streams of decoded sound, one module a family of containers.

`sniffing` tells by the bytes which family a file belongs to, `opening` hands it to that family's
module, and all of them give a `Source` (`source.py`). `mpeg` knows headers of MPEG frames,
`ffmpeg` everything that has no reader of our own. Nothing is imported here: the API process asks
for the formats and must load no decoder.
"""
