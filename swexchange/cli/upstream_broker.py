"""Where an upstream's broker is: its URL, TLS files and management API, which stand in the folders of keys."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from swexchange import keyfile
from swexchange.broker import Server, Tls
from swexchange.broker.management import Management
from swexchange.errors import ConfigFault
from swexchange.settings import Settings

_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


def upstream_server(settings: Settings, name: str) -> Server:
    """An upstream's broker: `upstream-<name>.url`, PEM files beside it, in the folders of keys. Raises ConfigFault."""
    path = _url_file(settings, name)
    broker = Server(keyfile.text(path), _tls(path))
    parameters = broker.parameters()
    _require_tls(parameters.host, parameters.ssl_options is not None, "amqps", path)
    return broker


def upstream_management(settings: Settings, name: str) -> Management | None:
    """Its management API: `upstream-<name>.management.url` beside the other; None without. Raises ConfigFault."""
    path = _url_file(settings, name)
    file = path.with_suffix(".management.url")
    if not file.is_file():
        return None
    url = urlsplit(keyfile.text(file))
    _require_tls(url.hostname or "", url.scheme == "https", "https", file)
    return Management(url.geturl(), _tls(path))


def _url_file(settings: Settings, name: str) -> Path:
    if path := keyfile.find(f"upstream-{name}.url", settings.key_folders):
        return path
    where = " or ".join(str(folder) for folder in settings.key_folders)
    raise ConfigFault(
        f"no upstream-{name}.url in {where}",
        do="Put the URL there, amqps://user:password@host:5671/vhost, mode 0600, or set SWX_KEYS",
    )


def _tls(path: Path) -> Tls:
    return Tls(*(_beside(path, part) for part in ("ca", "cert", "key")))


def _beside(path: Path, part: str) -> str:
    file = path.with_suffix(f".{part}.pem")
    return str(file) if file.is_file() else ""


def _require_tls(host: str, is_used: bool, scheme: str, path: Path) -> None:
    """Passwords go over the net by TLS alone."""
    if not is_used and host not in _HERE:
        raise ConfigFault(
            f"the URL of {host} is not {scheme}", where=str(path), do=f"Use TLS: {scheme}://, and its port"
        )
