"""The cluster's templates: their patterns, and the templates that apply to an index name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from headrace.protocol.indices.expressions import matcher

_Template = tuple[list[str], int, list[str]]


class _Said(msgspec.Struct):
    """The members of a template's body that concern names."""

    index_patterns: list[str] | str
    priority: int | None = None
    order: int | None = None
    composed_of: list[str] | None = None


@dataclass(frozen=True)
class Templates:
    """The templates as (patterns, priority, keys from weak to strong), and the creation dates of indexes."""

    index: list[_Template] = field(default_factory=list)
    legacy: list[_Template] = field(default_factory=list)
    created: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Templates:
        """From the cluster's answers."""
        index = []
        for shown in answer["index"]:
            template = shown["index_template"]
            components = [f"component:{name}" for name in template.get("composed_of") or []]
            keys = [*components, f"index:{shown['name']}"]
            index.append((template["index_patterns"], int(template.get("priority") or 0), keys))
        legacy = [
            (template["index_patterns"], int(template.get("order") or 0), [f"legacy:{name}"])
            for name, template in answer["legacy"].items()
        ]
        return cls(index, legacy, answer["created"])

    def with_template(self, kind: str, name: str, body: bytes) -> Templates:
        """With a template of this body in place of the one so called; without any, where the body says too little.

        A component template changes nothing here: it is known by its name.
        """
        if kind == "component":
            return self
        try:
            said = msgspec.json.decode(body, type=_Said)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Templates(created=self.created)
        patterns = [said.index_patterns] if isinstance(said.index_patterns, str) else said.index_patterns
        kept = self.without(kind, [name])
        if kind == "legacy":
            return replace(kept, legacy=[*kept.legacy, (patterns, said.order or 0, [f"legacy:{name}"])])
        keys = [*(f"component:{each}" for each in said.composed_of or []), f"index:{name}"]
        return replace(kept, index=[*kept.index, (patterns, said.priority or 0, keys)])

    def without(self, kind: str, names: list[str]) -> Templates:
        """Without the templates of a kind whose names match one of these patterns."""

        def left(templates: list[_Template]) -> list[_Template]:
            return [t for t in templates if not any(matcher(f"{kind}:{each}")(t[2][-1]) for each in names)]

        return replace(self, index=left(self.index), legacy=left(self.legacy))

    def keys(self, name: str) -> list[str]:
        """Keys of an index template and its components, strongest first; empty for one that is not there."""
        return next((keys[::-1] for _, _, keys in self.index if keys[-1] == f"index:{name}"), [])

    def concerning(self, name: str) -> list[str]:
        """Keys of the templates that an index of this name is created under, strongest first.

        Of index templates that of the highest priority alone counts, with its components; where there is none, all
        legacy ones that match, by their order.
        """
        fitting = [t for t in self.index if any(matcher(pattern)(name) for pattern in t[0])]
        if fitting:
            return max(fitting, key=lambda t: t[1])[2][::-1]
        old = [t for t in self.legacy if any(matcher(pattern)(name) for pattern in t[0])]
        return [key for t in sorted(old, key=lambda t: -t[1]) for key in t[2]]
