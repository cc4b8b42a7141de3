"""FFmpeg's errors, which a stranger's file may cause at any packet."""

import av


class FFmpegErrorsIgnored:
    """A context manager: an error of FFmpeg's ends the block, and nothing else.

    Want of memory does not count, although FFmpeg's own is an `FFmpegError` too: the file is not
    damaged because of it, and must not be taken for that.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        if kind is None or issubclass(kind, MemoryError):
            return False
        return issubclass(kind, av.FFmpegError)
