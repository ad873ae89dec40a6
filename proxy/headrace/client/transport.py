"""Calls over opensearch-py's transport: Basic, tokens, mTLS, SigV4 and a CA of one's own. A call is sent once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import opensearchpy
from opensearchpy.exceptions import ConnectionError as NotConnectedError
from opensearchpy.exceptions import ImproperlyConfigured, OpenSearchException, SerializationError, TransportError
from opensearchpy.serializer import JSONSerializer, TextSerializer

from headrace.client.errors import ClientError, UnreachableError, error_of
from headrace.http1.headers import ADMIN_HEADER
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.client.target import Target

JSON = "application/json"
SERIALIZERS = {
    JSON: JSONSerializer(),
    **{media: TextSerializer() for media in ("text/plain", "text/x-python", "text/javascript", "text/x-wat")},
}


class Request(msgspec.Struct, frozen=True):
    """A call: `path` is quoted already; a `body` that is not bytes goes as JSON."""

    method: str
    path: str
    params: dict[str, str] = {}
    body: Any = None
    media_type: str = JSON

    def headers(self) -> dict[str, str]:
        """The headers of the body. opensearch-py has its own default of the same name, in small letters."""
        return {} if self.body is None else {"content-type": self.media_type}

    def payload(self) -> bytes | None:
        """The bytes of the body."""
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return msgspec.json.encode(self.body)


def options(target: Target, *, asynchronous: bool) -> dict[str, Any]:
    """The arguments of opensearch-py's client for a target. Raises InvalidError."""
    parts = urlsplit(target.url)
    tls = parts.scheme == "https"
    found: dict[str, Any] = {
        "hosts": [target.url],
        "timeout": target.timeout,
        "max_retries": 0,
        "headers": _headers(target),
        "serializers": SERIALIZERS,
    }
    if target.user:
        found["http_auth"] = (target.user, target.password)
    if target.sigv4:
        found["http_auth"] = _signer(target, asynchronous=asynchronous)
    if tls:
        found |= {"use_ssl": True, "verify_certs": target.verify, "ssl_show_warn": False}
        found |= {"ca_certs": target.ca or None, "client_cert": target.cert or None, "client_key": target.key or None}
    return found


def _headers(target: Target) -> dict[str, str]:
    headers = {}
    if target.token:
        headers["Authorization"] = f"Bearer {target.token}"
    if target.admin_token:
        headers[ADMIN_HEADER] = target.admin_token
    return headers


def _signer(target: Target, *, asynchronous: bool) -> Any:
    """Signs requests with the credentials that botocore finds. Raises InvalidError without botocore or credentials."""
    try:
        from botocore.session import Session
    except ImportError:
        raise InvalidError("needs botocore: pip install botocore", "sigv4") from None
    credentials = Session().get_credentials()
    if credentials is None or target.sigv4 is None:
        raise InvalidError("botocore finds no AWS credentials", "sigv4")
    signer = opensearchpy.AWSV4SignerAsyncAuth if asynchronous else opensearchpy.Urllib3AWSV4SignerAuth
    return signer(credentials, target.sigv4.region, target.sigv4.service)


def connect(target: Target) -> opensearchpy.OpenSearch:
    """The blocking client of a target. Raises InvalidError for certificates that cannot be read."""
    try:
        return opensearchpy.OpenSearch(**options(target, asynchronous=False))
    except (ImproperlyConfigured, OSError) as error:
        raise InvalidError(str(error), "target") from None


def connect_async(target: Target) -> opensearchpy.AsyncOpenSearch:
    """The client of a target for an event loop. Raises as `connect`."""
    try:
        return opensearchpy.AsyncOpenSearch(**options(target, asynchronous=True))
    except (ImproperlyConfigured, OSError) as error:
        raise InvalidError(str(error), "target") from None


def raised(error: OpenSearchException, url: str) -> Exception:
    """What a caller gets for an error of opensearch-py."""
    if isinstance(error, NotConnectedError):
        return UnreachableError(f"{url} cannot be reached: {_cause(error)}")
    if isinstance(error, TransportError) and isinstance(error.status_code, int):
        return error_of(error.status_code, error.info)
    if isinstance(error, SerializationError):
        return ClientError(200, f"{url} answers with something else than JSON: is it a Headrace?")
    return error


def _cause(error: TransportError) -> str:
    """The reason without the names of classes."""
    text = str(error.info) if error.args[2:] else str(error)
    return text.rpartition("): ")[2] or text


def parameters(values: Mapping[str, Any]) -> dict[str, str]:
    """Query parameters: None is left out, and a truth value is `true` or `false`."""
    shown = {True: "true", False: "false"}
    return {
        name: shown[value] if isinstance(value, bool) else str(value)
        for name, value in values.items()
        if value is not None
    }
