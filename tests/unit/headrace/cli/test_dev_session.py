"""A session of `headrace dev`: what is not applied is told, and everything that was applied is removed."""

from __future__ import annotations

import http.server
import json
import threading

import pytest

from headrace.cli.commands.directory.dev import Session
from headrace.project.tools import scaffold


@pytest.fixture
def proxy():
    """What a proxy is asked to apply. It answers `status`."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        status = 200

        def do_POST(self):
            seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = json.dumps(
                {"changes": [], "revision": len(seen)}
                if self.status == 200
                else {"error": {"type": "x", "reason": "no admin token"}, "status": self.status}
            ).encode()
            self.send_response(self.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen, Handler
        server.shutdown()
        thread.join()


@pytest.fixture
def session(tmp_path, proxy, monkeypatch):
    monkeypatch.setenv("LOGNAME", "me")
    scaffold.write(tmp_path)
    toml = tmp_path / "headrace.toml"
    toml.write_text(toml.read_text().replace("http://127.0.0.1:9280", proxy[0]))
    return Session(tmp_path, "", "", applies=True)


def rename(session, name: str) -> None:
    toml = session.folder / "headrace.toml"
    lines = toml.read_text().splitlines()
    toml.write_text("\n".join(f'set = "{name}"' if line.startswith("set =") else line for line in lines))


def test_every_set_that_was_applied_is_removed(session, proxy):
    for name in ("one", "two"):
        rename(session, name)
        session.changed({"headrace.toml"})
    session.close()
    removed = [each["set"] for each in proxy[1] if "pipelines" not in each]
    applied = [each["set"] for each in proxy[1] if "pipelines" in each]
    assert applied == removed == ["dev-me-one", "dev-me-two"]
    assert proxy[1][1]["set"] == "dev-me-one", "it goes before the names are used by another set"


def test_what_cannot_be_applied_ends_no_session(session, proxy, capsys):
    rename(session, "x" * 125)
    session.changed(set())
    assert "not applied: [dev-me-xxx" in capsys.readouterr().out
    rename(session, "one")
    proxy[2].status = 403
    session.changed({"headrace.toml"})
    assert "not applied: no admin token\n  hint: " in capsys.readouterr().out
    proxy[2].status = 200
    session.changed({"headrace.toml"})
    assert "applied as dev-me-one" in capsys.readouterr().out


def test_what_could_not_be_removed_is_told(session, proxy, capsys):
    rename(session, "one")
    session.changed(set())
    proxy[2].status = 500
    session.close()
    shown = capsys.readouterr().err
    assert "could not remove the set dev-me-one" in shown
    assert 'POST /_registry/_apply {"set": "dev-me-one", "prune": true}' in shown
