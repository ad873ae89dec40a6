"""A connection for long bodies: bytes out and bytes in, with a bound on what comes in.

opensearch-py decodes an answer whole, as text, whatever its length; jobs over millions of documents read bytes.
"""

from __future__ import annotations

import base64
import http.client
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec

from headrace.client import transport
from headrace.client.errors import ClientError, UnreachableError, error_of
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.client.target import Target

NDJSON = "application/x-ndjson"
MAX_ANSWER = 64 << 20
"""Bytes of an answer, unless a caller says another number."""


class TooLongError(Exception):
    """An answer has more bytes than the caller takes; nothing of it is kept."""


class Response(NamedTuple):
    """An answer: its HTTP status and its body."""

    status: int
    body: bytes


def signed(options: Mapping[str, Any], method: str, url: str, body: bytes | None, headers: dict[str, str]) -> None:
    """Adds to `headers` what the options of [`transport.options`] say about signing in."""
    credentials = options.get("http_auth")
    if isinstance(credentials, tuple):
        user = base64.b64encode(":".join(credentials).encode()).decode()
        headers["authorization"] = f"Basic {user}"
    elif credentials is not None:
        headers |= dict(credentials(method, url, body or b"", headers))


def context_of(target: Target) -> ssl.SSLContext:
    """TLS as the target says. Raises InvalidError for files that cannot be read."""
    try:
        context = ssl.create_default_context(cafile=target.ca or None)
        if target.cert:
            context.load_cert_chain(target.cert, target.key or None)
    except OSError as error:
        raise InvalidError(str(error), "target") from None
    if not target.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Exchange:
    """One connection to a target, which is opened when it is needed. Not for several threads at once."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._options = transport.options(target, asynchronous=False)
        self._base = target.url.rstrip("/")
        self._parts = urlsplit(self._base)
        self._connection: http.client.HTTPConnection | None = None

    def request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        media_type: str = transport.JSON,
        limit: int = MAX_ANSWER,
        repeatable: bool = True,
    ) -> Response:
        """The answer, whatever its status. A `repeatable` call whose idle connection has ended is sent once more.

        `path` is quoted as it is to go. Raises UnreachableError, and TooLongError for more than `limit` bytes.
        """
        target = f"{path}?{urlencode(params)}" if params else path
        headers = {**self._options["headers"], "accept": transport.JSON}
        if body is not None:
            headers["content-type"] = media_type
        signed(self._options, method, self._base + target, body, headers)
        fresh = self._connection is None
        try:
            return self._sent(method, self._parts.path + target, body, headers, limit)
        except (ConnectionError, http.client.RemoteDisconnected, http.client.CannotSendRequest) as error:
            self.close()
            if fresh or not repeatable:
                raise self._unreachable(error) from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._unreachable(error) from None
        try:
            return self._sent(method, self._parts.path + target, body, headers, limit)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._unreachable(error) from None

    def json(self, method: str, path: str, params: Mapping[str, str] | None = None, body: Any = None) -> Any:
        """The decoded answer. Raises ClientError for one that is an error, and what [`request`] raises."""
        sent = None if body is None else msgspec.json.encode(body)
        answer = self.request(method, path, params, sent)
        return decoded(answer)

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _sent(self, method: str, path: str, body: bytes | None, headers: dict[str, str], limit: int) -> Response:
        if self._connection is None:
            self._connection = self._connected()
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        if answer.length is not None and answer.length > limit:
            self.close()
            raise TooLongError
        whole = answer.read() if answer.length is not None else answer.read(limit + 1)
        if len(whole) > limit:
            self.close()
            raise TooLongError
        return Response(answer.status, whole)

    def _connected(self) -> http.client.HTTPConnection:
        netloc, timeout = self._parts.netloc, self.target.timeout
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(netloc, timeout=timeout, context=context_of(self.target))
        return http.client.HTTPConnection(netloc, timeout=timeout)

    def _unreachable(self, error: Exception) -> UnreachableError:
        return UnreachableError(f"{self.target.url} cannot be reached: {error or type(error).__name__}")


def decoded(answer: Response) -> Any:
    """The value of an answer. Raises ClientError for one that is an error, or no JSON."""
    try:
        value = msgspec.json.decode(answer.body) if answer.body else None
    except msgspec.DecodeError:
        value = answer.body.decode(errors="replace")
        if answer.status < http.client.BAD_REQUEST:
            raise ClientError(answer.status, "the answer is no JSON") from None
    if answer.status >= http.client.BAD_REQUEST:
        raise error_of(answer.status, value)
    return value
