"""Who does a job that one runner at a time does: a lease in the database that ends by itself after a crash.

Rules alone. Source: operations 10 and 15.2.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.orm import Session

import clock
import db
from models import JobLease

CLOCKS_APART = timedelta(minutes=5)
"""How far the clocks of two machines may be from each other."""


def take(session: Session, name: str, holder: str, length: timedelta) -> bool:
    """Take the lease, or hold it for longer; False while somebody else has it.

    One that ends later than any that is given now was taken before the clock was put back. It is not believed: its runner may
    be dead, and the job would stand still, in silence, for as long as the clock was wrong.
    """
    now = clock.now()
    lease = session.get(JobLease, name, with_for_update=True)
    if lease is None:
        return db.add_first(session, JobLease(name=name, holder=holder, until=now + length))
    if lease.holder != holder and now < lease.until <= now + length + CLOCKS_APART:
        return False
    lease.holder, lease.until = holder, now + length
    return True
