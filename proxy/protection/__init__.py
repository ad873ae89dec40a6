"""Searches over protected indexes by allow-list: only what is known to obey a filter or a mask is forwarded."""

from proxy.protection.answers import without_quotes
from proxy.protection.hidden import HiddenFields, hidden_fields
from proxy.protection.lookups import may_look_up
from proxy.protection.review import Review
from proxy.protection.scope import Refuse, Scope

__all__ = ["HiddenFields", "Refuse", "Review", "Scope", "hidden_fields", "may_look_up", "without_quotes"]
