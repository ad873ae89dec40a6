"""The walk through a request: member by member, by the table; what it does not know is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn

from headrace.execution.protection.rules.row import Kind, Row, Rule
from headrace.execution.protection.scope import Refuse
from headrace_pipelines.errors import InvalidError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headrace.execution.protection.scope import Scope

    Handler = Callable[["Walk", Any], Any]

MAX_DEPTH = 100
"""Clauses, aggregations and small searches within each other; the node itself takes 1,000 levels of JSON."""
SCALARS = frozenset({str, int, float, Decimal, bool, type(None)})
PENDING: dict[str, Any] = {"match_none": {}}
"""In place of a filter that is not known yet, while a request is only reviewed."""
HANDLERS: dict[Kind, Handler] = {}
ACTIONS: dict[str, Callable[[Walk, dict[str, Any], dict[str, Any]], Any]] = {}
"""The actions that rows name by `act`: each gets the original body and the body with rewritten members."""
VALUE, PER_FIELD, DATA = Kind.VALUE, Kind.PER_FIELD, Kind.DATA
REFUSE = Rule.REFUSE


def handles(kind: Kind) -> Callable[[Handler], Handler]:
    """Makes a function the handler of members of this kind."""

    def registered(handler: Handler) -> Handler:
        HANDLERS[kind] = handler
        return handler

    return registered


def acts(function: Callable[[Walk, dict[str, Any], dict[str, Any]], Any]) -> Callable[..., Any]:
    """Makes a function known to the table by its name."""
    ACTIONS[function.__name__] = function
    return function


class Walk:
    """One way through a request. Values come back as they are, the same objects, unless they must be others.

    `filtered`: the documents that the clause at hand reads are restricted. `everything`: nothing but the filter
    restricts the search. `foreign`: the other index that the clause at hand reads. `looked_up`: those of look-ups.
    `answers`: what protects those, None while the request is only reviewed. `strict`: what is not known is refused;
    else only look-ups matter. `scripted`: scripts run on documents that the filter leaves out.
    """

    def __init__(
        self,
        scope: Scope,
        visible: Any = PENDING,
        answers: Mapping[str, Any] | None = None,
        *,
        everything: bool = False,
    ) -> None:
        self.scope = scope
        self.hidden = scope.hidden
        self.masked = bool(scope.hidden)
        self.filtered = scope.filtered
        self.strict = scope.filtered or self.masked
        self.asks_hidden = self.masked and scope.masked_queries == "refuse"
        self.everything = everything
        self.needs_filter = False
        self.scripted = False
        self.looked_up: set[str] = set()
        self.foreign: str | None = None
        self.nested = False
        self.depth = 0
        self.path: list[str | int] = []
        self._visible = visible
        self._answers = answers

    def members(self, value: Any, members: Mapping[str, Kind], row: Row | None = None) -> Any:
        """An object whose members are reviewed by their kinds; those not listed by the row's `others`."""
        if type(value) is not dict:
            if value is None:
                return None
            self.malformed("an object is expected here")
        changed: dict[str, Any] | None = None
        for name, each in value.items():
            kind = members.get(name)
            if kind is VALUE:
                if type(each) not in SCALARS:
                    self.value(name, each)
                continue
            self.path.append(name)
            new = self._unlisted(name, each, row) if kind is None else HANDLERS[kind](self, each)
            self.path.pop()
            if new is not each:
                changed = changed or dict(value)
                changed[name] = new
        return changed or value

    def _unlisted(self, name: str, value: Any, row: Row | None) -> Any:
        kind = row.others if row is not None else None
        if kind is None or row is None:
            return self.unknown("this member is not known here", value)
        if self.asks_hidden:
            self.ask(name)
        if kind is PER_FIELD:
            return value if type(value) in SCALARS else self._of_field(value, row)
        return HANDLERS[kind](self, value)

    def _of_field(self, value: Any, row: Row) -> Any:
        if type(value) is dict:
            return self.members(value, row.fields)
        self.scalars(value)
        return value

    def row(self, row: Row, body: Any) -> Any:
        """A body by its row of the table."""
        if row.filtered is REFUSE and self.filtered:
            self.refuse(row.why)
        if row.masked is REFUSE and self.masked:
            self.refuse_masked(row.why)
        new = self.members(body, row.members, row) if row.own is None else HANDLERS[row.own](self, body)
        return ACTIONS[row.act](self, body, new) if row.act else new

    def value(self, name: str, value: Any) -> None:
        """A member that must be a value or a list of values."""
        self.path.append(name)
        self.scalars(value)
        self.path.pop()

    def scalars(self, value: Any) -> None:
        """Refuses what is neither a value nor a list of values."""
        if type(value) in SCALARS or (type(value) is list and all(type(each) in SCALARS for each in value)):
            return
        self.unknown("a value or a list of values is expected here", value)

    def deeper(self) -> None:
        """One level down. Its end is `depth -= 1`."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse_always(f"a request over protected indexes may nest {MAX_DEPTH} clauses, not more")

    def each(self, values: Any, handler: Handler) -> Any:
        """A list, or one in place of a list, through a handler."""
        if type(values) is not list:
            return handler(self, values)
        changed: list[Any] | None = None
        for at, value in enumerate(values):
            self.path.append(at)
            new = handler(self, value)
            self.path.pop()
            if new is not value:
                changed = changed or list(values)
                changed[at] = new
        return values if changed is None else changed

    def visible(self) -> Any:
        """The filter of the index at hand; None where there is none. Raises RefusedError where it cannot be told."""
        if self.foreign is not None:
            return self.looked_into(self.foreign)
        if not self.scope.filtered:
            return None
        self.needs_filter = True
        if self._visible is None:
            self.refuse_always(
                "a final pipeline restricts this search by more than a filter, so that this part cannot be made to "
                "obey; leave it out"
            )
        return self._visible

    def looked_into(self, index: str) -> Any:
        """The filter of another index, from which this request reads. Raises RefusedError where it cannot be told."""
        self.looked_up.add(index)
        if self._answers is None:
            return PENDING
        answer = self._answers.get(index, Refuse("what protects that index is not known"))
        if isinstance(answer, Refuse):
            self.refuse_always(f"this reads a document of [{index}], and {answer.reason}; leave it out")
        return answer

    def read_whole(self, index: str) -> None:
        """A look-up that no filter can be put on: only from an index that has none."""
        if self.looked_into(index) is not None and self._answers is not None:
            self.refuse_always(
                f"this reads a document of [{index}], which a final pipeline protects; give the values themselves"
            )

    def ask(self, field: Any) -> None:
        """A query on a field: refused if it is hidden and the setting says so."""
        if self.asks_hidden and (type(field) is not str or self.hidden.covers(field.split("^")[0])):
            self.refuse_field(field, "`masked_queries` is refuse")

    def read(self, field: Any) -> None:
        """A field whose values the answer tells."""
        if not self.masked or field is None:
            return
        if type(field) is not str or self.hidden.covers(field):
            self.refuse_field(field, "this would show its values; leave it out, and name fields one by one")

    def refuse_field(self, field: Any, reason: str) -> NoReturn:
        """A hidden field."""
        raise RefusedError(f"[{self.where}] a final result pipeline hides [{field}], and {reason}")

    def refuse(self, reason: str) -> NoReturn:
        """Something that does not obey a filter."""
        raise RefusedError(
            f"[{self.where}] a final pipeline filters this search, and this part may not be in it: {reason}"
        )

    def refuse_masked(self, reason: str) -> NoReturn:
        """Something that a mask does not reach."""
        raise RefusedError(
            f"[{self.where}] a final result pipeline hides fields of these documents, and this part may not be in the "
            f"search: {reason}"
        )

    def refuse_always(self, reason: str) -> NoReturn:
        """For a reason that is a sentence of its own."""
        raise RefusedError(f"[{self.where}] {reason}")

    def refuse_protected(self, reason: str) -> NoReturn:
        """Something that obeys neither."""
        if self.filtered:
            self.refuse(reason)
        self.refuse_masked(reason)

    def malformed(self, reason: str) -> NoReturn:
        """Something that the node does not take either."""
        raise InvalidError(reason, self.where)

    def unknown(self, reason: str, value: Any) -> Any:
        """Refuses a part without a row; where nothing is protected, only searches it for look-ups."""
        if self.strict:
            raise RefusedError(
                f"[{self.where}] final pipelines protect these documents, and only what is known to obey them may be "
                f"in a search (docs/reference/search-rules.md): {reason}"
            )
        self._search(value)
        return value

    def _search(self, value: Any) -> None:
        """Takes every `index` in something unknown for a look-up."""
        waiting = [value]
        while waiting:
            each = waiting.pop()
            if type(each) is dict:
                for name in ("index", "_index"):
                    if type(each.get(name)) is str:
                        self.read_whole(each[name])
                waiting += each.values()
            elif type(each) is list:
                waiting += each

    @property
    def where(self) -> str:
        """The JSON path of what is at hand."""
        text = ""
        for step in self.path:
            text += f"[{step}]" if type(step) is int else f".{step}" if text else str(step)
        return text or "body"


@handles(Kind.VALUE)
def _value(walk: Walk, value: Any) -> Any:
    walk.scalars(value)
    return value


@handles(Kind.DATA)
def _data(walk: Walk, value: Any) -> Any:
    return value


@handles(Kind.EMPTY)
def _empty(walk: Walk, value: Any) -> Any:
    if value and walk.strict:
        walk.refuse_protected("what it does is not known")
    return value if not value else walk.unknown("", value)


@handles(Kind.OFF_ONLY)
def _off(walk: Walk, value: Any) -> Any:
    if walk.strict and value not in (None, False, "false"):
        walk.refuse_protected("it tells about documents and fields that these pipelines keep back; leave it out")
    return value
