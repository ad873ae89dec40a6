"""Index, component and legacy templates: our settings in them are kept in the registry and shown in the answers.

An index keeps what its template held when it was created, as OpenSearch copies settings: each change of a template
begins a period, by the cluster's clock. Unlike copies, that also holds for indexes that the cluster creates by itself
(rollovers). Before the cluster's templates change, what an index would lose by that is attached to the index itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headrace.handlers.admin.attachment import check, mentions, settle, with_slots
from headrace.handlers.passthrough import passthrough
from headrace.protocol import index_settings as codec
from headrace.protocol.indices.expressions import matcher
from headrace_pipelines.registry.association import Slots, Template, merged

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from headrace.server.request import Call
    from headrace_pipelines.registry.association import TemplateKind

LISTS = {"index": ("index_templates", "index_template"), "component": ("component_templates", "component_template")}
"""Where the answers of `GET` list templates, and under which key each stands."""


def put(kind: TemplateKind) -> Callable[[Call], Awaitable[web.StreamResponse]]:
    """A handler for `PUT /_index_template/{name}` and its kin: a template is replaced as a whole, ours with it."""

    async def handler(call: Call) -> web.StreamResponse:
        body = await call.body()
        text = call.inflated(body)
        name = call.params["name"]
        rest, found = codec.take_from_template(text, legacy=kind == "legacy") if mentions(call, text) else (text, {})
        known = f"{kind}:{name}" in call.snapshot.associations.templates
        if not found and not known:
            await settle(call, lambda now: now.with_template(kind, name, rest))
            return await call.send_on(body, changed=False)
        await call.require_admin()
        check(call, found)
        await settle(call, lambda now: now.with_template(kind, name, rest))
        before = await _change(call, kind, name, with_slots(Slots(), found))
        answer = await call.exchange(rest, changed=True)
        if not answer.ok:
            await call.parts.registry.change(Template, f"{kind}:{name}", lambda _: before)
        return await call.reply_answer(answer)

    return handler


async def _change(call: Call, kind: TemplateKind, name: str, slots: Slots) -> Template | None:
    """Begins a period of the template; gives what was there before."""
    now = await call.parts.registry.store.now()

    def change(old: Template | None) -> Template | None:
        return (old or Template(kind=kind, name=name, periods=[])).changed(slots, now)

    return await call.parts.registry.change(Template, f"{kind}:{name}", change)


def delete(kind: TemplateKind) -> Callable[[Call], Awaitable[web.StreamResponse]]:
    """A handler for `DELETE`: indexes created later get nothing, those created before keep what they have."""

    async def handler(call: Call) -> web.StreamResponse:
        held = [t for t in call.snapshot.associations.templates.values() if t.kind == kind]
        if not call.snapshot.associations.templates:
            return await passthrough(call)
        names = call.params["name"].split(",")
        await settle(call, lambda now: now.without(kind, names))
        answer = await call.exchange(await call.body(), changed=False)
        if answer.ok:
            for template in held:
                if any(matcher(pattern)(template.name) for pattern in names):
                    await _change(call, kind, template.name, Slots())
        return await call.reply_answer(answer)

    return handler


async def simulate(call: Call) -> web.StreamResponse:
    """`_index_template/_simulate[_index][/{name}]`: what an index would be made with, our settings too."""
    held = call.snapshot.associations.templates
    text = await call.text() if call.has_body else b""
    rest, found = codec.take_from_template(text, legacy=False) if mentions(call, text) else (text, {})
    if not held and not found:
        return await passthrough(call)
    check(call, found)
    answer = await call.exchange(rest, changed=bool(found), unfiltered=True)
    if not answer.ok or not answer.json:
        return await call.reply_answer(answer)
    slots = [held[key].current for key in await _simulated(call, rest) if key in held]
    shown = msgspec.json.decode(answer.body)
    codec.show(shown.setdefault("template", {}), merged([with_slots(Slots(), found), *slots]), codec.Form())
    return await call.reply_answer(answer, msgspec.json.encode(shown))


async def _simulated(call: Call, body: bytes) -> list[str]:
    """Keys of the templates that a simulation is about, strongest first; the one in the body itself has none."""
    if body:
        composed = msgspec.json.decode(body).get("composed_of") or []
        return [f"component:{name}" for name in reversed(composed)]
    templates = (await call.parts.resolver.view()).templates
    if templates is None:
        return []
    if "index" in call.params:
        return templates.concerning(call.params["index"])
    return templates.keys(call.params.get("name", ""))


def show(kind: TemplateKind) -> Callable[[Call], Awaitable[web.StreamResponse]]:
    """A handler for `GET`: the cluster's answer with our settings in it."""

    async def handler(call: Call) -> web.StreamResponse:
        held = {t.name: t.current for t in call.snapshot.associations.templates.values() if t.kind == kind}
        if not held:
            return await passthrough(call)
        answer = await call.exchange(await call.body(), changed=False, unfiltered=True)
        if not answer.ok or not answer.json:
            return await call.reply_answer(answer)
        shown = msgspec.json.decode(answer.body)
        for name, template in _templates(kind, shown):
            slots = held.get(name)
            if slots is not None and not slots.empty:
                place = template if kind == "legacy" else template.setdefault("template", {})
                codec.show(place, slots, codec.Form(call.target.flag("flat_settings")))
        return await call.reply_answer(answer, msgspec.json.encode(shown))

    return handler


def _templates(kind: TemplateKind, shown: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    if kind == "legacy":
        return list(shown.items())
    listed, inner = LISTS[kind]
    return [(entry["name"], entry[inner]) for entry in shown.get(listed, [])]
