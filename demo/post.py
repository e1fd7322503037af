"""The demo's mail server: what Kvitta e-mails is kept as files that any mail program opens, and nothing leaves the machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from flask import Flask

import db
from demo.stack import HOST
from rights import Actor
from services import mail_settings
from services.mail import PLAIN


class Letters:
    """Takes every letter and keeps it in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802, ARG002 - its name there
        """Write one down, named by the time it came."""
        path = self.folder / f"{datetime.now():%Y-%m-%d-%H%M%S-%f}.eml"  # noqa: DTZ005 - as the clock on the wall has it
        path.write_bytes(envelope.original_content or b"")
        return "250 Message accepted for delivery"


class AnyPort(Controller):
    """A server on a port that the system chooses."""

    def _trigger_server(self) -> None:
        host, port = self.server.sockets[0].getsockname()[:2]  # type: ignore[union-attr]  # it has been started
        self.hostname, self.port = host, port
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def office(folder: Path) -> Iterator[int]:
    """A mail server on a free port of this machine, whose letters go into the folder; gives the port."""
    logging.getLogger("mail.log").setLevel(
        logging.WARNING
    )  # every connection otherwise stands among what the demo says
    folder.mkdir(exist_ok=True)
    controller = AnyPort(Letters(folder), hostname=HOST, port=0)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def use(app: Flask, actor: Actor, key: bytes, port: int) -> None:
    """Let Kvitta send its mail there, unless a person has chosen another server."""
    with app.app_context():
        with db.writing() as session:
            now = mail_settings.facts(session)
            if now.host in ("", HOST):
                there = replace(now, host=HOST, port=port, security=PLAIN, username="")
                mail_settings.save(session, actor, key, there, "")
        db.db.engine.dispose()
