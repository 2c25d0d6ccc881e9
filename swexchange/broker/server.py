"""Where RabbitMQ is, how to reach it safely, and what its errors mean in plain words."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pika
import pika.exceptions as amqp

from swexchange.broker.topology import release
from swexchange.errors import BrokerLost, ConfigFault

OLDEST = (3, 8)  # the first release whose quorum queues are complete
USER_TIMEOUT_MS = 30_000  # after which unacknowledged TCP data ends the connection


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of an amqps connection; '' = the system's authorities, no client certificate."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    def context(self) -> ssl.SSLContext:
        """A client context that checks the server's certificate and host name. Raises ConfigFault."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file or None)
        except OSError as error:
            files = ", ".join(f for f in (self.ca_file, self.cert_file, self.key_file) if f)
            raise ConfigFault(
                f"the TLS files cannot be used: {error}",
                where=files,
                do="Give readable PEM files; the key must belong to the certificate",
            ) from error
        return context


@dataclass(frozen=True, slots=True)
class Server:
    """A RabbitMQ server, by URL: amqp[s]://user:password@host:port/vhost."""

    url: str
    tls: Tls = Tls()
    heartbeat: int = 15  # seconds; a silent connection is given up after this and 5 more
    connect_seconds: float = 10.0  # for TCP, TLS and AMQP together

    @property
    def where(self) -> str:
        """The URL without the password."""
        parts = urlsplit(self.url)
        user, _, host = parts.netloc.rpartition("@")
        name = user.partition(":")[0]
        return f"{parts.scheme}://{name}@{host}{parts.path}" if name else f"{parts.scheme}://{host}{parts.path}"

    def parameters(self, name: str = "swexchange") -> pika.ConnectionParameters:
        """What pika connects with; `name` is what RabbitMQ shows. Raises ConfigFault for a bad URL."""
        try:
            parts = urlsplit(self.url)
            if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
                raise ValueError("it must look like amqp://user:password@host:port/vhost")
            parameters = pika.URLParameters(self.url)
            if parts.scheme == "amqps":
                parameters.ssl_options = pika.SSLOptions(self.tls.context(), parts.hostname)
        except (ValueError, TypeError) as error:
            raise ConfigFault(f"the broker URL is wrong: {error}", do="Correct it") from None
        if "heartbeat=" not in parts.query:
            parameters.heartbeat = self.heartbeat
        parameters.socket_timeout = self.connect_seconds / 2
        parameters.stack_timeout = self.connect_seconds
        parameters.tcp_options = {"TCP_USER_TIMEOUT": USER_TIMEOUT_MS}
        logging.getLogger("pika").setLevel(logging.CRITICAL)  # BrokerLost says what it would, once
        parameters.client_properties = {"connection_name": name}
        return parameters


def require_release(version: str, where: str) -> None:
    """Raise BrokerLost where the server's version is known and too old."""
    if version and release(version) < OLDEST:
        raise BrokerLost(f"RabbitMQ {version} is too old", where=where, do="Use 3.8 or later: quorum queues are needed")


def explain(error: BaseException, where: str) -> BrokerLost:
    """The error of pika, the socket or TLS as one clear line: what, where, what to do."""
    causes = list(_causes(error))
    for cause in causes:
        what, do = _plain(cause)
        if what:
            return BrokerLost(what, where=where, do=do, code=_code(cause))
    return BrokerLost(f"the connection to RabbitMQ was lost: {causes[-1]!r}", where=where)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and those wrapped in it, the outermost first."""
    yield error
    inner = [*getattr(error, "exceptions", ())[-1:], getattr(error, "exception", None), *error.args]
    for cause in inner:
        if isinstance(cause, BaseException):
            yield from _causes(cause)


def _plain(error: BaseException) -> tuple[str, str]:
    """What happened and what to do; ('', '') for an error that says nothing by itself."""
    if isinstance(error, (amqp.ConnectionClosed, amqp.ChannelClosed)):
        return _closed(error.reply_code, error.reply_text)
    if _is_refused(error):
        return "RabbitMQ refused the credentials", "Correct user and password, or the user's rights"
    if isinstance(error, amqp.ProbableAuthenticationError):
        return "the connection ended during the login", "Check the network and the broker"
    if isinstance(error, amqp.IncompatibleProtocolError):
        do = "Check host and port of the broker URL; a broker that is just ending does not speak either"
        return "what answers there does not speak AMQP 0-9-1", do
    if isinstance(error, amqp.AMQPHeartbeatTimeout):
        return "RabbitMQ fell silent: heartbeats were missed", "Check the network and the broker's load"
    return _network(error)


def _is_refused(error: BaseException) -> bool:
    """Whether it is the credentials: pika takes any end during the login for that, RabbitMQ says so by 403."""
    if isinstance(error, amqp.ProbableAuthenticationError):
        return "(403)" in str(error)
    return isinstance(error, amqp.AuthenticationError)


def _code(error: BaseException) -> int:
    """The reply code, 403 where the login was refused."""
    if _is_refused(error):
        return 403
    return int(getattr(error, "reply_code", 0))


def _network(error: BaseException) -> tuple[str, str]:
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        return f"TLS with RabbitMQ failed: {reason}", "Check certificate, host name, authority and port"
    if isinstance(error, socket.gaierror):
        return f"the broker's host name is unknown: {error.strerror}", "Correct the broker URL"
    if isinstance(error, ConnectionRefusedError):
        return "RabbitMQ is not running", "Start it, or correct host and port of the broker URL"
    if isinstance(error, (TimeoutError, amqp.ConnectionOpenAborted)):  # the latter: our own deadline
        return "RabbitMQ did not answer in time", "Check the network and the broker"
    if isinstance(error, amqp.StreamLostError) and "EOF" in str(error):
        return "RabbitMQ closed the connection", "See its log"
    return "", ""


def _closed(code: int, text: str) -> tuple[str, str]:
    """The meaning of a reply code with which the broker closed a connection or a channel."""
    advice = {
        312: "Declare the queue or its binding",
        320: "RabbitMQ is stopping or an operator closed the connection",
        403: "Correct the user's password or permissions",
        404: "Declare it; on our own broker `swexchange topology apply` does",
        405: "Another connection holds the queue exclusively",
        406: "Make the declaration and what exists there agree; see RabbitMQ's log",
        530: "Create the vhost or grant the user access to it",
        541: "See RabbitMQ's log",
    }
    if code == 200:
        return "the connection was closed", ""
    return f"RabbitMQ said {code}: {text}", advice.get(code, "")
