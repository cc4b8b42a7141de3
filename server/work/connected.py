"""One connected worker, as the API process sees it: the tasks that it has, and how they end."""

import asyncio
import math
import os
import signal
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol

import msgspec

from server.errors import WorkerGone, WorkerLost
from server.work.board import pool_of
from server.work.channel import pack, to_error
from server.work.messages import Cancel, Failed, FromWorker, Hello, Progress, Report, Result, Task

MOST_SLOTS = 1 << 12
PEER = struct.Struct("3i")  # Linux's ucred: pid, uid, gid


class Reserved(Protocol):
    """A place that is kept for a task."""

    due: float


class Call(NamedTuple):
    """A task that a worker has. `due` is unix seconds."""

    future: asyncio.Future[Result]
    due: float
    watch: Callable[[float], None] | None


class Worker:
    """One connected worker process."""

    def __init__(self, hello: Hello, writer: asyncio.StreamWriter, pid: int) -> None:
        self.hello = hello
        self.pid = pid
        self.calls: dict[str, Call] = {}
        self._started: set[str] = set()  # of those, what has reached it
        self.reserved: set[Reserved] = set()
        self.last_sign = time.monotonic()
        self.stalled = False
        self.report = Report()  # the last one
        self._writer = writer

    @property
    def load(self) -> int:
        """Tasks that run here or are about to."""
        return len(self.calls) + len(self.reserved)

    @property
    def must_be_due_before(self) -> float:
        """Unix seconds. A worker that takes turns begins only with what is more urgent than all
        that it has."""
        if not self.hello.in_turns:
            return math.inf
        running = [call.due for call in self.calls.values()]
        return min(running + [slot.due for slot in self.reserved], default=math.inf)

    def send(self, message: Task | Cancel) -> None:
        self._writer.write(pack(message))

    def take(self, message: FromWorker) -> bool:
        """Books a message from the worker; True when it ends a task."""
        self.last_sign = time.monotonic()
        if isinstance(message, Hello):  # it knows more of itself by now
            self.hello = message
            return False
        if isinstance(message, Report) or (call := self.calls.get(message.id)) is None:
            return False
        self._started.add(message.id)
        if isinstance(message, Progress) and call.watch is not None and not call.future.done():
            call.watch(message.done)
        if not isinstance(message, Result | Failed):
            return False
        del self.calls[message.id]
        self._started.discard(message.id)
        if call.future.done():  # the caller has gone
            return True
        if isinstance(message, Result):
            call.future.set_result(message)
        else:
            call.future.set_exception(to_error(message))
        return True

    def lost(self) -> None:
        """The connection has ended, and all tasks with it.

        Those that ran are lost: of a worker that takes turns, the one that was due first. Those
        that were paused, or had not reached it, had no part in it and are charged no attempt.
        """
        started = self._started & self.calls.keys()
        running = started or set(self.calls)
        if self.hello.in_turns and started:
            running = {min(started, key=lambda task_id: self.calls[task_id].due)}
        elif self.hello.in_turns and self.calls:  # whatever was sent first has come first
            running = {next(iter(self.calls))}
        for task_id, call in self.calls.items():
            if call.future.done():
                continue
            if task_id in running:
                lost = WorkerLost(f"{self.hello.worker} died", alone=len(running) == 1)
                call.future.set_exception(lost)
            else:
                call.future.set_exception(WorkerGone(f"{self.hello.worker} died"))
        self.calls.clear()
        self._started.clear()

    def kill(self) -> None:
        """SIGKILL; the host starts another in its place."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def check_hello(hello: Hello, name: str) -> None:
    """A worker sits where its name says, however often it says hello. Raises DecodeError: it says
    that it is another one."""
    if (hello.worker, hello.pool) != (name, pool_of(name)) or not 0 < hello.slots <= MOST_SLOTS:
        raise msgspec.DecodeError(f"{name} says that it is {hello.worker:.40} of {hello.pool:.40}")


def peer_pid(writer: asyncio.StreamWriter) -> int:
    """The process that listens at the other end, as the kernel tells."""
    peer = writer.get_extra_info("socket")
    pid: int = PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))[0]
    return pid
