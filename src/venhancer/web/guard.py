"""Who may call a server: from which addresses and pages, with which word; and what a page here may load.

Everything is refused before it reaches a route, so that a route cannot forget to.
"""

import base64
import binascii
import ipaddress
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from venhancer.errors import SettingsError

POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'; base-uri 'self'; "
    "form-action 'self'"
)
"""Of what a page may load and where it may send: nothing from or to another place, whatever gradio's files ask for."""

OPEN_PATHS = ("/health",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may call.

    Args:
        login: "user:password" that browsers ask for; None for nobody who has no token.
        token: bearer token of programs; None for none.
        hosts: names under which the server may be called, without ports; None for any.
    """

    login: str | None = None
    token: str | None = None
    hosts: tuple[str, ...] | None = None

    @property
    def is_open(self) -> bool:
        """Whether anybody who reaches the server may call it."""
        return self.login is None and self.token is None

    def allows(self, authorization: str) -> bool:
        """Tell whether the word of a request is right."""
        if self.is_open:
            return True
        kind, _, word = authorization.partition(" ")
        if kind.lower() == "bearer" and self.token is not None:
            return _is_same(word.strip(), self.token)
        if kind.lower() == "basic" and self.login is not None:
            try:
                given = base64.b64decode(word, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                return False
            return _is_same(given, self.login)
        return False


def choose_access(host: str, *, login: str | None = None, token: str | None = None) -> Access:
    """Return who may call a server at an address of this machine.

    Raises:
        SettingsError: it could be reached by others, and nothing keeps them out; or the login has no password.
    """
    if login is not None and not all(login.partition(":")):
        raise SettingsError("--auth takes a name and a password as NAME:PASSWORD")
    if is_loopback(host):
        return Access(login=login, token=token, hosts=("127.0.0.1", "localhost", "::1", host))
    if login is None and token is None:
        raise SettingsError(f"host {host} can be reached by others; pass --auth NAME:PASSWORD, or leave --host out")
    return Access(login=login, token=token)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Refuses requests that may not be made, and tells browsers what a page may do.

    Args:
        app: that is guarded.
        access: who may call.
        most_bytes: of a request.
    """

    def __init__(self, app: ASGIApp, access: Access, most_bytes: int) -> None:
        self.app, self.access, self.most_bytes = app, access, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request or hand it on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.most_bytes:
                return {"type": "http.disconnect"}
            return message

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        await self.app(scope, counted, with_policy)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if self.access.hosts is not None and _name(host) not in self.access.hosts:
            return refuse(421, f"this server is not called {_name(host)[:80]!r}; call it by its address")
        if origin is not None and urlsplit(origin).netloc != host:
            return refuse(403, "another site may not call this server")
        length = headers.get("content-length", "0")
        if not length.isdigit():
            return refuse(400, "the content length is not a number")
        if int(length) > self.most_bytes:
            return refuse(413, f"the most is {self.most_bytes / 1e9:g} GB")
        if scope["path"] in OPEN_PATHS or self.access.allows(headers.get("authorization", "")):
            return None
        wanted = "Basic" if self.access.login is not None else "Bearer"
        return refuse(401, "log in, or send the token", {"WWW-Authenticate": f'{wanted} realm="venhancer"'})


def refuse(status: int, line: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return an error as all servers here tell it."""
    return JSONResponse({"error": {"message": line}}, status, headers)


def _name(host: str) -> str:
    """Return a host without its port."""
    return urlsplit(f"//{host}").hostname or "" if _is_plain(host) else ""


def _is_plain(host: str) -> bool:
    try:
        return urlsplit(f"//{host}").hostname is not None
    except ValueError:
        return False


def _is_same(given: str, right: str) -> bool:
    return secrets.compare_digest(given.encode(), right.encode())
