"""Writes tracks: a scratch file of float32 to a WAV, FLAC or MP3 that appears whole or not at all.

`encode` is the way in. `wav`, `flac` and `mp3` are a `TrackWriter` each, which is a `WholeFile`
with a gain, samples and peaks. It must not know how a song is read, or who listens to a track.
"""
