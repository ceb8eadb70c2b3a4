"""What the user says of how files are laid out, where their bytes do not tell."""

import dataclasses
from dataclasses import dataclass

NO_HEADER = 0


@dataclass(frozen=True)
class GivenLayout:
    """How files are laid out, as options say it; nothing of it need be said.

    Attributes
    ----------
    delimiter : str or None
        What separates cells.
    encoding : str or None
        Of text.
    skip_rows : int
        Lines above the table.
    header_row : int or None
        Line of the column names, from 1; 0 where there is none.
    sheet_name : str or None
        Sheet of a workbook.
    table, query : str or None
        What to read of a data base.
    """

    delimiter: str | None = None
    encoding: str | None = None
    skip_rows: int = 0
    header_row: int | None = None
    sheet_name: str | None = None
    table: str | None = None
    query: str | None = None

    @property
    def options(self) -> list[str]:
        """The options that say something, in their spelling on the command line."""
        return [
            f"--{field.name.replace('_', '-')}"
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        ]
