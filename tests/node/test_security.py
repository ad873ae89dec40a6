"""Who may change pipelines: loopback listeners and holders of the admin token."""

from __future__ import annotations

from proxy.app import Proxy
from tests.conftest import Http, native, settings_for

BODY = {"type": "document", "stages": [native("s", "set", field="x", value=1)]}


async def test_the_admin_token_is_asked_for_and_never_sent_on(node, session, tmp_path, name):
    settings = settings_for(node, tmp_path, admin_token="let-me-in")
    proxy = Proxy(settings)
    await proxy.start()
    try:
        http = Http(proxy.url, session)
        token = {"X-Headrace-Admin-Token": "let-me-in"}
        for headers in ({}, {"X-Headrace-Admin-Token": "wrong"}):
            refused = await http.put(f"/_pipeline/{name}", BODY, headers=headers)
            assert (refused.status, refused.error["type"]) == (403, "security_exception")
            assert "let-me-in" not in refused.body.decode()
        assert (await http.put(f"/_pipeline/{name}", BODY, headers=token)).status == 201
        assert (await http.get(f"/_pipeline/{name}")).status == 200
        for method, target in (
            ("DELETE", f"/_pipeline/{name}"),
            ("POST", f"/_pipeline/{name}/_execute"),
            ("POST", f"/_pipeline/{name}/_activate?version=1"),
            ("PUT", f"/_udf/{name}"),
            ("DELETE", f"/_udf/{name}"),
            ("POST", f"/_udf/{name}/_test"),
        ):
            assert (await http(method, target, {})).status == 403, target
        attach = {"settings": {"index.document.default_pipeline": name}}
        assert (await http.put(f"/{name}", attach)).status == 403
        assert (await http.put(f"/{name}", attach, headers=token)).status == 200
        assert (await http.put(f"/{name}-plain", {})).status == 200, "what is the cluster's needs no token of ours"
    finally:
        await proxy.stop()


async def test_without_a_token_only_loopback_takes_changes(node, session, tmp_path, name):
    proxy = Proxy(settings_for(node, tmp_path, listen="0.0.0.0:0"))
    await proxy.start()
    try:
        http = Http(proxy.url.replace("0.0.0.0", "127.0.0.1"), session)
        refused = await http.put(f"/_pipeline/{name}", BODY)
        assert refused.status == 403
        assert "admin_token" in refused.error["reason"]
        assert (await http.get("/_pipeline")).status == 200
    finally:
        await proxy.stop()
