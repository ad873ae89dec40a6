"""`headrace sync`: applies a directory when its content changes, beside a program that pulls it from git."""

from __future__ import annotations

import hashlib
import logging
import signal
import threading
from typing import TYPE_CHECKING

import msgspec

from headrace.cli import sets
from headrace.cli.errors import failure_of
from headrace.cli.project_target import client_of, project_of
from headrace.client import ClientError, UnreachableError
from headrace.project import ProjectError
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

log = logging.getLogger("headrace.sync")

LONGEST_PAUSE = 300.0
"""Seconds between two attempts after failures: five minutes."""
MOST_DOUBLINGS = 32
"""Maximum of doublings of a pause: a millisecond becomes seven weeks, more than the longest pause."""
EXPECTED = (ProjectError, HeadraceError, ClientError, UnreachableError, OSError)
"""What may be otherwise at the next attempt; anything else is a defect and ends the program."""


def pause_after(failures: int, seconds: float) -> float:
    """Seconds until the next attempt after failures without a success between them."""
    doublings = min(max(failures - 1, 0), MOST_DOUBLINGS)
    return max(min(seconds * 2.0**doublings, LONGEST_PAUSE), seconds)


class Sync:
    """Looks at a directory again and again; `seconds` is the time between two looks."""

    def __init__(self, folder: Path, target: str, url: str, seconds: float, *, prune: bool) -> None:
        self._folder = folder
        self._target = target
        self._url = url
        self._seconds = seconds
        self._prune = prune
        self._applied = ""
        self._stop = threading.Event()

    def run(self, *, once: bool = False) -> None:
        """Runs until SIGTERM or SIGINT. `once`: one attempt, which raises what goes wrong."""
        if not log.handlers:
            logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
            logging.getLogger("opensearch").setLevel(logging.ERROR)
        if once:
            self.attempt()
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        log.info("applying %s every %g s when it has changed", self._folder, self._seconds)
        failures = 0
        while not self._stop.is_set():
            try:
                self.attempt()
                failures = 0
            except EXPECTED as error:
                failures += 1
                self._tell(error)
            self._stop.wait(pause_after(failures, self._seconds))
        log.info("stopped")

    def _end(self, _: int, __: FrameType | None) -> None:
        self._stop.set()

    def attempt(self) -> None:
        """Applies the directory if it is not what was applied last."""
        project = project_of(self._folder, self._target, self._url)
        body = {**project.as_set(), "prune": self._prune}
        digest = hashlib.sha256(msgspec.json.encode(body)).hexdigest()
        if digest == self._applied:
            return
        body["source"] = sets.source_of(self._folder)
        with client_of(self._folder, self._target, self._url) as client:
            answer = client.registry.apply(body)
        self._applied = digest
        changed = [c for c in answer["changes"] if c["action"] != "unchanged"]
        commit = body["source"].get("commit", "no commit")
        log.info("set %s: revision %d, %d changes (%s)", project.set, answer["revision"], len(changed), commit)
        for change in changed:
            log.info("%s %s %s", change["action"], change["kind"], change["name"])

    @staticmethod
    def _tell(error: Exception) -> None:
        """A line for each thing that went wrong."""
        if isinstance(error, ProjectError):
            for problem in error.problems:
                log.error("%s", problem)
            return
        failure = failure_of(error)
        log.error("the directory could not be applied: %s", failure.reason if failure is not None else error)
        body = error.body.get("error", {}) if isinstance(error, ClientError) and isinstance(error.body, dict) else {}
        for each in body.get("errors", ()) if isinstance(body, dict) else ():
            log.error("%s [%s] %s: %s", each["kind"], each["name"], each.get("field", ""), each["reason"])
