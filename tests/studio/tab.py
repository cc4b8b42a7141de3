"""A tab that nobody looks into: driven by scripts alone, its requests are not recorded.

A browser that records requests for a debugger keeps their bodies, in the very process whose memory
a test wants to measure.
"""

import json
import time
from typing import Any

import psutil


class Tab:
    """A tab of a Playwright browser, beside Playwright's own pages."""

    def __init__(self, browser: Any, url: str) -> None:
        self._session = browser.new_browser_cdp_session()
        self._pump = browser.new_page()  # Playwright hears of messages while it waits for a page
        self._answers: dict[int, Any] = {}
        self._session.on("Target.receivedMessageFromTarget", self._hear)
        target = self._session.send("Target.createTarget", {"url": url})
        attached = self._session.send(
            "Target.attachToTarget", {"targetId": target["targetId"], "flatten": False}
        )
        self._id = attached["sessionId"]
        self._target = target["targetId"]
        self._count = 0

    def run(self, script: str) -> Any:
        """The value of a script's expression, which may be a promise; counts as a click."""
        self._count += 1
        call = {"id": self._count, "method": "Runtime.evaluate", "params": {
            "expression": script, "userGesture": True, "returnByValue": True, "awaitPromise": True,
        }}  # fmt: skip
        message = {"sessionId": self._id, "message": json.dumps(call)}
        self._session.send("Target.sendMessageToTarget", message)
        while self._count not in self._answers:
            self.wait()
        answer = self._answers.pop(self._count)["result"]
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, script: str, seconds: float = 30) -> None:
        """Polls until a script's expression is true."""
        end = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < end, script
            self.wait()

    def wait(self) -> None:
        """Lets the browser go on."""
        self._pump.wait_for_timeout(20)

    def close(self) -> None:
        """Closes the tab."""
        self._session.send("Target.closeTarget", {"targetId": self._target})
        self._pump.close()

    def _hear(self, event: dict[str, Any]) -> None:
        message = json.loads(event["message"])
        self._answers[message.get("id")] = message


def page_megabytes() -> float:
    """The most memory that one of this process's browser pages shares with nobody."""
    return max(process.memory_full_info().uss / 1e6 for process in psutil.Process().children(True)
               if "--type=renderer" in " ".join(process.cmdline()))  # fmt: skip
