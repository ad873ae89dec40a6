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
from headrace.security import admin
from headrace.server.reply import reply_answer
from headrace_pipelines.registry.association import Slots, Template, merged

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from headrace.server.request import RequestContext
    from headrace_pipelines.registry.association import TemplateKind

LISTS = {"index": ("index_templates", "index_template"), "component": ("component_templates", "component_template")}
"""Where the answers of `GET` list templates, and under which key each stands."""


def put(kind: TemplateKind) -> Callable[[RequestContext], Awaitable[web.StreamResponse]]:
    """A handler for `PUT /_index_template/{name}` and its kin: a template is replaced as a whole, ours with it."""

    async def handler(context: RequestContext) -> web.StreamResponse:
        body = await context.body()
        text = context.decoded_text(body)
        name = context.params["name"]
        rest, found = (
            codec.extract_from_template(text, legacy=kind == "legacy") if mentions(context, text) else (text, {})
        )
        had_pipelines = f"{kind}:{name}" in context.snapshot.associations.templates
        if not found and not had_pipelines:
            await settle(context, lambda now: now.with_template(kind, name, rest))
            return await context.forward(body, changed=False)
        await admin.require_admin(context)
        check(context, found)
        await settle(context, lambda now: now.with_template(kind, name, rest))
        before = await _change(context, kind, name, with_slots(Slots(), found))
        answer = await context.forward_buffered(rest, changed=True)
        if not answer.ok:
            await context.components.registry.change(Template, f"{kind}:{name}", lambda _: before)
        return await reply_answer(context, answer)

    return handler


async def _change(context: RequestContext, kind: TemplateKind, name: str, slots: Slots) -> Template | None:
    """Begins a period of the template; gives what was there before."""
    now = await context.components.registry.store.now()

    def change(old: Template | None) -> Template | None:
        return (old or Template(kind=kind, name=name, periods=[])).changed(slots, now)

    return await context.components.registry.change(Template, f"{kind}:{name}", change)


def delete(kind: TemplateKind) -> Callable[[RequestContext], Awaitable[web.StreamResponse]]:
    """A handler for `DELETE`: indexes created later get nothing, those created before keep what they have."""

    async def handler(context: RequestContext) -> web.StreamResponse:
        held = [t for t in context.snapshot.associations.templates.values() if t.kind == kind]
        if not context.snapshot.associations.templates:
            return await passthrough(context)
        names = context.params["name"].split(",")
        await settle(context, lambda now: now.without(kind, names))
        answer = await context.forward_buffered(await context.body(), changed=False)
        if answer.ok:
            for template in held:
                if any(matcher(pattern)(template.name) for pattern in names):
                    await _change(context, kind, template.name, Slots())
        return await reply_answer(context, answer)

    return handler


async def simulate(context: RequestContext) -> web.StreamResponse:
    """`_index_template/_simulate[_index][/{name}]`: what an index would be made with, our settings too."""
    held = context.snapshot.associations.templates
    text = await context.text() if context.has_body else b""
    rest, found = codec.extract_from_template(text, legacy=False) if mentions(context, text) else (text, {})
    if not held and not found:
        return await passthrough(context)
    check(context, found)
    answer = await context.forward_buffered(rest, changed=bool(found), unfiltered=True)
    if not answer.ok or not answer.json:
        return await reply_answer(context, answer)
    slots = [held[key].current for key in await _simulated(context, rest) if key in held]
    shown = msgspec.json.decode(answer.body)
    codec.show(shown.setdefault("template", {}), merged([with_slots(Slots(), found), *slots]), codec.Form())
    return await reply_answer(context, answer, msgspec.json.encode(shown))


async def _simulated(context: RequestContext, body: bytes) -> list[str]:
    """Keys of the templates that a simulation is about, strongest first; the one in the body itself has none."""
    if body:
        composed = msgspec.json.decode(body).get("composed_of") or []
        return [f"component:{name}" for name in reversed(composed)]
    templates = (await context.components.resolver.view()).templates
    if templates is None:
        return []
    if "index" in context.params:
        return templates.concerning(context.params["index"])
    return templates.keys(context.params.get("name", ""))


def show(kind: TemplateKind) -> Callable[[RequestContext], Awaitable[web.StreamResponse]]:
    """A handler for `GET`: the cluster's answer with our settings in it."""

    async def handler(context: RequestContext) -> web.StreamResponse:
        held = {t.name: t.current for t in context.snapshot.associations.templates.values() if t.kind == kind}
        if not held:
            return await passthrough(context)
        answer = await context.forward_buffered(await context.body(), changed=False, unfiltered=True)
        if not answer.ok or not answer.json:
            return await reply_answer(context, answer)
        shown = msgspec.json.decode(answer.body)
        for name, template in _templates(kind, shown):
            slots = held.get(name)
            if slots is not None and not slots.empty:
                section = template if kind == "legacy" else template.setdefault("template", {})
                codec.show(section, slots, codec.Form(context.target.flag("flat_settings")))
        return await reply_answer(context, answer, msgspec.json.encode(shown))

    return handler


def _templates(kind: TemplateKind, shown: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    if kind == "legacy":
        return list(shown.items())
    listed, inner = LISTS[kind]
    return [(entry["name"], entry[inner]) for entry in shown.get(listed, [])]
