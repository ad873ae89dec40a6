"""Aliases: what they name, and their switch to another index by one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from headrace.backfill.spec import BackfillError
from headrace.client.errors import ClientError, UnreachableError

if TYPE_CHECKING:
    from headrace.backfill.cluster.link import Link


def switch_alias(link: Link, alias: str, source: frozenset[str], target: str) -> None:
    """Has an alias name the target in place of indexes of the source, by one call. Raises ClientError."""
    held = holders(link, alias)
    left = [index for index in held if index in source and index != target]
    actions: list[dict[str, Any]] = [{"remove": {"index": index, "alias": alias}} for index in left]
    adding: dict[str, Any] = {}
    for index in left:
        # What filters and routes by the alias, and whether writes go there, holds for the target, too.
        adding |= held[index]["aliases"][alias]
    adding |= {"index": target, "alias": alias}
    try:
        link.json("POST", "/_aliases", None, {"actions": [*actions, {"add": adding}]})
    except (ClientError, UnreachableError):
        # The answer to an earlier attempt may have been lost: then there is no alias to remove any more.
        now = holders(link, alias)
        if target not in now or any(index in now for index in left):
            raise


def holders(link: Link, alias: str) -> dict[str, Any]:
    """The indexes that an alias names, with what it says of each. Raises ClientError."""
    try:
        found: dict[str, Any] = link.json("GET", f"/_alias/{quote(alias, safe='*,-_.')}")
    except ClientError as error:
        if error.status != 404:
            raise
        return {}
    return found


def check_alias(link: Link, alias: str) -> None:
    """Raises BackfillError for an alias that is the name of an index."""
    found: dict[str, Any] = {}
    try:
        found = link.json("GET", f"/{quote(alias, safe='*,-_.')}")
    except ClientError as error:
        if error.status != 404:
            raise
    if alias in found:
        raise BackfillError(f"[{alias}] is an index, not an alias", "swap_alias")
