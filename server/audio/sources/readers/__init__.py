"""A reader for each family of containers. Each has an opener that gives a `Source`.

Plain samples are read by `pcm`, MPEG audio by `mp3`, bare frames by `coded`; whatever is left goes
to `ffmpeg`.
"""
