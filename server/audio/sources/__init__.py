"""Strangers' audio files as streams of decoded sound.

`sniffing` tells by the bytes which family a file belongs to, `opening` hands it to that family's
module in `readers`, and all of these give a `Source` (`source.py`). They stand on `headers`, which
knows what containers say of themselves, on `decoding`, which has FFmpeg decode, and on `timing`,
which puts what was decoded in its place; `filters` change what another source gives.

Nothing is imported here: the API process asks for the formats and must load no decoder.
"""
