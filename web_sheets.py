"""Forms that have rows, each a form of its own: read together, and a refusal put beside its row's field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from errors import Refusal
from web_fields import Form, WholeField


class RowForm(Form):
    """One row; one in which nobody has typed anything is none."""

    typed: Sequence[str] = ()
    """The fields that are typed into."""

    @property
    def where(self) -> str:
        """What the names of its fields begin with."""
        return str(self._prefix)

    @property
    def empty(self) -> bool:
        """Whether nobody has typed anything into it."""
        raw = [self[name].raw_data for name in self.typed]
        return not any(each and str(each[0]).strip() for each in raw)


Row = TypeVar("Row", bound=RowForm)


class Sheet(Generic[Row]):
    """The form as a whole: its own fields, of which ``rows`` says how many rows there are, and the rows."""

    form: Any
    rows: list[Row]

    def count_rows(self, least: int, most: int, more: int = 0) -> range:
        """The rows to draw: as many as the form was sent with, and so many more."""
        field: WholeField = self.form.rows
        field.data, field.raw_data = min((field.data or least) + more, most), None
        return range(field.data)

    @property
    def filled(self) -> list[Row]:
        """The rows that are some."""
        return [row for row in self.rows if not row.empty]

    def accepted(self) -> bool:
        """Whether all that was typed can be read; every row is asked, so that all is said at once."""
        return all([self.form.accepted(), *[row.accepted() for row in self.filled]])

    def refuse(self, refusal: Refusal) -> int:
        """Put a no beside its field, in a row or in the form; gives the status."""
        name, _dash, field = (refusal.field or "").rpartition("-")
        row = next((each for each in self.rows if name and each.where == f"{name}-"), None)
        if row is None:
            return int(self.form.refuse(refusal))
        refusal.field = field
        return row.refuse(refusal)

    @property
    def wrong(self) -> list[tuple[int, Row]]:
        """The rows with something wrong, with the number a person counts them by."""
        return [(number, row) for number, row in enumerate(self.rows, start=1) if row.errors]
