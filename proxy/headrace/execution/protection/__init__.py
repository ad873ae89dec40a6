"""Searches over protected indexes by allow-list: only what is known to obey a filter or a mask is forwarded."""

from headrace.execution.protection.answers import without_quotes
from headrace.execution.protection.hidden import HiddenFields, hidden_fields
from headrace.execution.protection.lookups import may_have_lookups
from headrace.execution.protection.review import Review
from headrace.execution.protection.scope import Refuse, Scope

__all__ = ["HiddenFields", "Refuse", "Review", "Scope", "hidden_fields", "may_have_lookups", "without_quotes"]
