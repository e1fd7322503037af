"""Which machine may send to Klarna: a copied database finds itself on another one, shows everything and sends nothing.

Source: operations 15.1 and 15.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import Installation, SenderLease


@dataclass(frozen=True, slots=True)
class Host:
    """A machine that has been let in. ``here`` is the one that answers."""

    name: str
    approved_by: str
    approved_at: datetime
    last_sent_at: datetime
    here: bool


@dataclass(frozen=True, slots=True)
class Sending:
    """Whether, from where and in which sort of books something can be sent."""

    environment_class: str | None
    enabled: bool
    reason: str | None
    numbering_frozen: bool
    hosts: Sequence[Host]

    @property
    def elsewhere(self) -> str | None:
        """The machine that this database belongs to, when it is another than this one."""
        return None if not self.hosts or any(host.here for host in self.hosts) else self.hosts[0].name


def installation_of(session: Session) -> str | None:
    """The id of the installation, which a machine's own id is made with."""
    return session.scalar(sa.select(Installation.installation_id))


def state(session: Session, host_id: str) -> Sending:
    """How sending stands, seen from the machine with this id."""
    installation = session.get_one(Installation, 1)
    leases = session.scalars(sa.select(SenderLease).order_by(SenderLease.approved_at))
    return Sending(
        environment_class=installation.environment_class,
        enabled=installation.sending_enabled,
        reason=installation.sending_reason,
        numbering_frozen=installation.numbering_frozen,
        hosts=[
            Host(each.host_name, each.approved_by, each.approved_at, each.until, each.host_id == host_id)
            for each in leases
        ],
    )
