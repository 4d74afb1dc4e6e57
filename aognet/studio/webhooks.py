"""The end of a job is told to an address that its client gave: signed, and never inside private networks.

The name is looked up once, every address that it has must be public, and the request goes to one of these addresses.
"""

import hashlib
import hmac
import http.client
import ipaddress
import json
import logging
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from aognet.errors import UserError

log = logging.getLogger(__name__)
SECONDS, TRIES, PORTS = 10.0, 3, (80, 443, 8080, 8443)
SIGNATURE = "X-Studio-Signature"
Resolve = Callable[[str, int], Sequence[str]]


def resolved_addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a name. Raises OSError where it has none."""
    return sorted({str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})


def check_webhook(url: str) -> None:
    """Raise UserError for an address that cannot be told of anything, whatever its name is looked up as."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or not url.isascii():
        raise UserError("must be an http or https address without a user", key="webhook", value=url)
    if port is not None and port not in PORTS:
        raise UserError(f"must have one of the ports {', '.join(map(str, PORTS))}", key="webhook", value=url)
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        literal = None
    if host.lower() == "localhost" or (literal is not None and not is_public(str(literal))):
        raise UserError("must not be in a private network", key="webhook", value=url)


def is_public(address: str) -> bool:
    """Return whether an address is reached through the internet alone."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is not None or found in ipaddress.ip_network("64:ff9b::/96"):
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved and not found.is_loopback


def signature(secret: bytes, moment: int, body: bytes) -> str:
    """Return what proves who sent a body, and when: ``t=TIME,v1=HMAC-SHA256(secret, TIME.BODY)``."""
    digest = hmac.new(secret, f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def tell(url: str, content: Mapping[str, Any], secret: bytes, resolve: Resolve = resolved_addresses) -> bool:
    """Post a content as JSON. Return whether it was taken. It is tried a few times; no redirection is followed."""
    body = json.dumps(content).encode()
    for number in range(TRIES):
        try:
            check_webhook(url)
            if _post(url, body, secret, resolve):
                return True
        except UserError as error:
            log.warning("a webhook is refused: %s", error)
            return False
        except (OSError, http.client.HTTPException) as error:
            log.info("a webhook did not answer (%s)", error)
        time.sleep(2**number)
    return False


def _post(url: str, body: bytes, secret: bytes, resolve: Resolve) -> bool:
    parts = urlsplit(url)
    secure, host = parts.scheme == "https", parts.hostname or ""
    port = parts.port or (443 if secure else 80)
    addresses = resolve(host, port)
    if not addresses or not all(map(is_public, addresses)):
        raise UserError("must not be in a private network", key="webhook", value=url)
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    raw = socket.create_connection((addresses[0], port), timeout=SECONDS)
    try:
        connection.sock = ssl.create_default_context().wrap_socket(raw, server_hostname=host) if secure else raw
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Content-Type": "application/json", SIGNATURE: signature(secret, int(time.time()), body)}
        connection.request("POST", path, body, headers)
        return connection.getresponse().status < 300
    finally:
        connection.close()
        raw.close()
