"""The access log and the slow log: lines about finished requests, and about stages that took long.

Both are off unless a setting asks for them; a request then pays one comparison.
"""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.ops.logs.lines import LimitedLog, printable, shown
from headrace.protocol.headers.credentials import user_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.settings import Settings
    from headrace_pipelines import Batch, Execution, RunOptions
    from headrace_pipelines.http1 import RequestHead
    from headrace_pipelines.registry import Pipeline

access = logging.getLogger("headrace.access")
SLOW_LINES, SLOW_SECONDS = 10, 1.0
"""Lines of the slow log in so many seconds; more are counted."""
MAX_PATH = 1024
"""Characters of a path in a line: clients choose it."""


class FinishedRequest(NamedTuple):
    """A request that has been answered; `started` by `time.monotonic`, `pipelines` as `X-Pipeline` says them."""

    head: RequestHead
    status: int
    surface: str
    started: float
    client: str | None
    pipelines: str = ""
    gone: bool = False


class RequestLog:
    """Writes lines about requests, as the settings say."""

    def __init__(self, settings: Settings) -> None:
        self._slow = LimitedLog(logging.getLogger("headrace.slow"), SLOW_LINES, SLOW_SECONDS, logging.WARNING)
        self.reload(settings)

    def reload(self, settings: Settings) -> None:
        """Other settings for the requests to come."""
        self._mode = settings.access_log
        self._sample = settings.access_log_sample
        self._slow_request = settings.seconds("slow_request")
        self._slow_stage_ns = int(settings.seconds("slow_stage") * 1e9)
        self.enabled = self._mode != "off" or self._slow_request > 0
        """Whether it wants to hear of requests."""
        self.times_stages = self._slow_stage_ns > 0
        """Whether it wants to hear of slow stages."""

    def finish(self, request: FinishedRequest) -> None:
        """A request has been answered."""
        seconds = time.monotonic() - request.started
        slow, wanted = 0 < self._slow_request <= seconds, self._is_wanted(request.status)
        if not slow and not wanted:
            return
        fields = _fields(request, seconds)
        text, values = "%s %s %d", (request.head.method, fields["url.path"], request.status)
        if wanted:
            access.info(text, *values, extra={"fields": fields})
        if slow:
            self._slow.write(text, *values, fields=fields)

    def _is_wanted(self, status: int) -> bool:
        if self._mode in ("off", "all"):
            return self._mode == "all"
        # Not a secret: which requests a log shows may be guessed.
        return status >= 400 or (self._mode == "sampled" and random.random() < self._sample)  # noqa: S311

    def stages(self, index: Callable[[], str]) -> SlowStages | None:
        """The observer of the stages of a request; `None`: no stage is too slow. `index`: that of its path."""
        return SlowStages(self._slow, self._slow_stage_ns, index) if self._slow_stage_ns else None


class SlowStages:
    """Writes the stages of a request that took long (`ops.observers.RunObserver`)."""

    def __init__(self, log: LimitedLog, threshold_ns: int, index: Callable[[], str]) -> None:
        self._log = log
        self._threshold_ns = threshold_ns
        self._index = index

    def skip(self, pipeline: Pipeline, documents: int, make: Callable[[], Batch]) -> None:
        """What does not run is not slow."""

    def start(self, pipeline: Pipeline, batch: Batch, again: Callable[[], Batch], options: RunOptions) -> SlowStages:
        """Every run is observed."""
        return self

    def read(self, batch: Batch) -> None:
        """The documents do not matter."""

    def finish(self, execution: Execution | None) -> None:
        """Writes a line for each stage that took long."""
        if execution is None:
            return
        for timed in execution.stages:
            if timed.duration_ns >= self._threshold_ns:
                fields = {
                    "pipeline": execution.pipeline,
                    "stage": timed.stage.label,
                    "ms": round(timed.duration_ns / 1e6, 3),
                    "documents": timed.run.documents,
                    "fuel": timed.run.fuel,
                    "index": self._index(),
                }
                self._log.write("the stage [%s] took long", timed.stage.label, fields=fields)


def _fields(request: FinishedRequest, seconds: float) -> dict[str, Any]:
    head = request.head
    fields: dict[str, Any] = {
        "http.request.method": head.method,
        # The query may hold values of documents.
        "url.path": printable(head.target.partition("?")[0][:MAX_PATH]),
        "http.response.status_code": request.status,
        "event.duration": int(seconds * 1e9),
        "headrace.surface": request.surface,
        "client.address": request.client or "",
    }
    if user := user_of((head.header(b"authorization") or b"").decode("latin-1")):
        fields["user.name"] = shown(user.encode())
    if request.pipelines:
        fields["headrace.pipelines"] = request.pipelines
    if request.gone:
        fields["client.gone"] = True
    return fields
