"""Sends a request to a live receiver over HTTP: exact bytes, no redirect followed, loopback unless allowed."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from pytest_meetgeek.response import NoResponseError, Response

if TYPE_CHECKING:
    from collections.abc import Collection

    from pytest_meetgeek.request import WebhookRequest


def check_url(url: str, allow_hosts: Collection[str]) -> SplitResult:
    """Take a URL apart, and refuse to leave this machine unasked: the suite sends forgeries by the hundred.

    Args:
        url: An http or https URL.
        allow_hosts: Hosts that are not loopback and that may be sent to all the same.

    Raises:
        ValueError: It is no such URL, or its host is neither loopback nor allowed.
    """
    parts = urlsplit(url)
    host = parts.hostname
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError(f"not an http or https URL: {url!r}")
    if _loopback_of(host) is None and host not in {allowed.lower() for allowed in allow_hosts}:
        raise ValueError(
            f"{host} is not a loopback address, and hundreds of forged requests would go there: "
            f"allow it with --meetgeek-allow-host={host} (allow_hosts={(host,)!r})"
        )
    return parts


def _loopback_of(host: str) -> str | None:
    """Find what to connect to if the host means this machine, however it is written."""
    name = host.removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return "localhost"  # RFC 6761, section 6.3: these never leave the machine, whatever DNS says
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(name))  # such as 127.1, which resolvers take, too
        except OSError:
            return None
    address = getattr(address, "ipv4_mapped", None) or address
    return str(address) if address.is_loopback or address.is_unspecified else None


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        name = self.host
        self.host = _loopback_of(name) or name
        try:
            super().connect()
        finally:
            self.host = name  # for the field `Host` and the certificate


class _SecureConnection(http.client.HTTPSConnection, _Connection):
    pass


def connection_to(parts: SplitResult, timeout: float) -> http.client.HTTPConnection:
    """Prepare a connection; it is opened by `connect()` or by the first request.

    Args:
        parts: An http or https URL.
        timeout: Seconds to wait for the connection, and for each piece of the response.
    """
    kind = _SecureConnection if parts.scheme == "https" else _Connection
    return kind(parts.hostname or "", parts.port, timeout=timeout)


def send_url(parts: SplitResult, request: WebhookRequest, path: str, timeout: float) -> Response:
    """Send one request on a connection of its own; a broken connection is a Response with status 0 and the error.

    Args:
        parts: The URL; its path is not used.
        request: What to send; in pieces (chunked) if it has `chunks`.
        path: Where to send it.
        timeout: Seconds to wait for the connection, and for each piece of the response.
    """
    began = time.perf_counter()
    connection = connection_to(parts, timeout)
    try:
        _write(connection, request, path)
        response = connection.getresponse()
        body = response.read()
    except TimeoutError:
        return Response(0, error=NoResponseError(timeout), seconds=time.perf_counter() - began)
    except (OSError, http.client.HTTPException) as error:
        return Response(0, error=error, seconds=time.perf_counter() - began)
    finally:
        connection.close()
    return Response(response.status, tuple(response.getheaders()), body, None, time.perf_counter() - began)


def _write(connection: http.client.HTTPConnection, request: WebhookRequest, path: str) -> None:
    named = {name.lower() for name, _ in request.headers}
    connection.putrequest(request.method, path, skip_host="host" in named, skip_accept_encoding=True)
    for name, value in request.headers:
        connection.putheader(name, value.encode("latin-1"))
    if request.chunks:
        connection.putheader("Transfer-Encoding", "chunked")
        # An empty chunk would end the body.
        connection.endheaders([piece for piece in request.pieces() if piece], encode_chunked=True)
    else:
        connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body)
