"""One thread's tasks in turns: the task that is due first goes on, the others stand still.

A long song's work lies still between two of its steps while a clip's is done. Knows no audio.
"""

import time
from collections.abc import Callable
from contextlib import suppress

from server.errors import Cancelled
from server.work.channel import Channel, failure
from server.work.messages import Cancel, FromWorker, Progress, Result, Started, Task
from server.work.steps import Steps

PROGRESS_SECONDS = 0.2  # a task says how far it is no more often than this


class Turn:
    """A task under way."""

    def __init__(self, task: Task, steps: Steps[Result]) -> None:
        self.task = task
        self.steps = steps
        self._told = 0.0

    def step(self) -> Progress | Result | None:
        """Goes one step on: the task's result, or how far it is, now and then."""
        try:
            done = next(self.steps)
        except StopIteration as end:
            result = end.value
            assert isinstance(result, Result)
            return result
        if (now := time.monotonic()) < self._told + PROGRESS_SECONDS:
            return None
        self._told = now
        return Progress(self.task.id, done)


class StepScheduler:
    """The tasks of one worker.

    begin: makes a task's steps; what they raise fails the task.
    failed: is told of errors, for the log.
    """

    def __init__(
        self, channel: Channel, begin: Callable[[Task], Steps[Result]],
        failed: Callable[[Task, Exception], None],
    ) -> None:  # fmt: skip
        self._channel = channel
        self._begin = begin
        self._failed = failed
        self._turns: dict[str, Turn] = {}

    def serve(self) -> None:
        """Runs what comes until the channel closes (ChannelClosed)."""
        try:
            while True:
                while not self._turns or self._channel.waiting():
                    self._receive()
                self._step(min(self._turns.values(), key=lambda turn: turn.task.due))
        finally:
            for turn in self._turns.values():
                with suppress(Exception):
                    turn.steps.close()

    def _receive(self) -> None:
        message = self._channel.receive()
        if isinstance(message, Task):
            self._channel.send(Started(message.id))
            self._turns[message.id] = Turn(message, self._begin(message))
        elif isinstance(message, Cancel) and message.id in self._turns:  # else it came too late
            turn = self._turns[message.id]
            try:
                turn.steps.close()
            except Exception as error:
                self._failed(turn.task, error)
            self._end(turn, failure(message.id, Cancelled("The job was cancelled")))

    def _step(self, turn: Turn) -> None:
        try:
            answer = turn.step()
        except Exception as error:
            if len(self._turns) > 1 and isinstance(error.__context__, MemoryError):
                error = MemoryError()  # perhaps another's fault: to be tried again, not blamed
            self._failed(turn.task, error)
            self._end(turn, failure(turn.task.id, error))
        else:
            if isinstance(answer, Result):
                self._end(turn, answer)
            elif answer is not None:
                self._channel.send(answer)

    def _end(self, turn: Turn, answer: FromWorker) -> None:
        del self._turns[turn.task.id]
        self._channel.send(answer)
