"""Settings from the environment; refuses to start half-configured."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class Misconfigured(RuntimeError):
    """A setting is missing or impossible; the message is one plain sentence for whoever starts the program."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the environment decides. Company settings live in the database."""

    data_dir: Path
    database_url: str
    redis_url: str | None
    secret_key: bytes
    secret_key_fallbacks: tuple[bytes, ...]
    credentials_key: bytes
    trusted_hosts: tuple[str, ...]
    proxies: int
    https: bool
    janitor_in_web: bool
    settlement_folder: Path | None = None
    testing: bool = False


def _private_dir(path: Path) -> Path:
    """Make the data directory with access for its owner only. Raises Misconfigured (security 65, fault 38)."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        probe = path / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise Misconfigured(f"The data folder {path} cannot be written to: {error.strerror}.") from error
    return path


def write_once(path: Path, content: bytes) -> None:
    """Give a file its content if it has none yet; of two processes at once one wins, and nobody reads half of it."""
    if path.exists():
        return
    draft = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, content)
    finally:
        os.close(handle)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _key_file(path: Path) -> bytes:
    """Read 32 random bytes kept beside the data, making them the first time (security 25, 53)."""
    try:
        write_once(path, secrets.token_bytes(32))
        key = path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"The key file {path} cannot be read or made: {error.strerror}.") from error
    if len(key) < 32:
        raise Misconfigured(f"The key file {path} is shorter than 32 bytes.")
    return key[:32]


def _watched(typed: str) -> Path | None:
    """The folder that is watched, if any. Raises Misconfigured when it is none that can be looked into and changed."""
    if not typed:
        return None
    path = Path(typed)
    if not path.is_absolute() or not path.is_dir() or not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise Misconfigured(
            f"SETTLEMENT_FOLDER must be the whole path of a folder that Kvitta may read and write: {typed}."
        )
    return path


def load(environ: Mapping[str, str] | None = None) -> Config:
    """Read the settings. Raises Misconfigured with one sentence.

    KVITTA_DATA (folder, default ``var``), DATABASE_URL (default SQLite in that folder), REDIS_URL, SECRET_KEY (at least
    32 characters; default a key file in the data folder), SECRET_KEY_OLD (comma-separated, for rotation), TRUSTED_HOSTS
    (comma-separated), PROXIES (number of proxies in front), HTTPS (1 behind TLS), JANITOR_IN_WEB (1 where no worker runs),
    SETTLEMENT_FOLDER (a folder whose reports are read in by themselves; default none).
    """
    env = os.environ if environ is None else environ
    data_dir = _private_dir(Path(env.get("KVITTA_DATA", "var")).absolute())
    url = env.get("DATABASE_URL") or f"sqlite:///{data_dir / 'kvitta.db'}"
    if url.startswith(("postgres://", "postgresql://")):
        url = "postgresql+psycopg://" + url.split("://", 1)[1]
    if not url.startswith(("sqlite:///", "postgresql+psycopg://")):
        raise Misconfigured("DATABASE_URL must begin with sqlite:/// or postgresql://.")
    typed = env.get("SECRET_KEY")
    if typed is not None and len(typed.encode()) < 32:
        raise Misconfigured("SECRET_KEY must be at least 32 characters long.")
    proxies = env.get("PROXIES", "0")
    if not proxies.isascii() or not proxies.isdigit():
        raise Misconfigured("PROXIES must be a whole number: how many proxies stand in front.")
    hosts = tuple(host.strip() for host in env.get("TRUSTED_HOSTS", "127.0.0.1,localhost").split(",") if host.strip())
    return Config(
        data_dir=data_dir,
        database_url=url,
        redis_url=env.get("REDIS_URL") or None,
        secret_key=typed.encode() if typed is not None else _key_file(data_dir / "secret.key"),
        secret_key_fallbacks=tuple(old.encode() for old in env.get("SECRET_KEY_OLD", "").split(",") if old),
        credentials_key=_key_file(data_dir / "credentials.key"),
        trusted_hosts=hosts,
        proxies=int(proxies),
        https=env.get("HTTPS") == "1",
        janitor_in_web=env.get("JANITOR_IN_WEB") == "1",
        settlement_folder=_watched(env.get("SETTLEMENT_FOLDER", "")),
    )
