"""Tables of data bases: named by an address, read as a stream and never written."""

import datetime as dt
import decimal
import re
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_anomaly_cli.errors import InputChanged, InputError
from vae_anomaly_cli.sources.byte_source import ByteSource
from vae_anomaly_cli.sources.file_state import FileState
from vae_anomaly_cli.sources.given import GivenLayout

if TYPE_CHECKING:
    import pyarrow as pa
    import sqlalchemy

# The first part of an address, before a driver: sqlite, postgresql+psycopg.
DATABASES = (
    "sqlite",
    "postgresql",
    "mysql",
    "mariadb",
    "mssql",
    "oracle",
    "duckdb",
    "snowflake",
    "redshift",
    "bigquery",
)
SQLITE_EXTENSIONS, SQLITE_MAGIC = (".db", ".sqlite", ".sqlite3"), b"SQLite format 3\0"
SHOWN_TABLES = 8
INSTALL = 'python -m pip install "vae-anomaly[sql]"'
ROWS_PER_BLOCK = 1 << 14
PASSWORD = re.compile(r"(://[^/:@]*):[^@/]*@")
ONLY_READS = re.compile(r"\s*(select|with|values|table|from)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Query:
    """A whole table, or a query that the user wrote; one of them is None.

    Attributes
    ----------
    table, text : str or None
        Name of the table, maybe after its schema and a point, and the query.
    """

    table: str | None = None
    text: str | None = None

    def statement(self) -> "sqlalchemy.Executable":
        """Return it as SQLAlchemy has it, which quotes names as the data base does."""
        import sqlalchemy

        if self.text is not None:
            # A colon in a query of the user's names no parameter.
            return sqlalchemy.text(self.text.replace(":", "\\:"))
        schema, _, name = (self.table or "").rpartition(".")
        table = sqlalchemy.table(name, schema=schema or None)
        return sqlalchemy.select(sqlalchemy.literal_column("*")).select_from(table)


@dataclass(frozen=True)
class DatabaseTable:
    """What a query gives.

    Attributes
    ----------
    source : ByteSource
        Its name; it has no bytes.
    address : str
        Of the data base.
    query : Query
        What is read of it.
    schema : pyarrow.Schema
        The columns, with types that have room for all their values.
    n_rows : int
        Number of rows when the columns were read.
    log : FileState or None
        Where a data base of SQLite puts new rows at first: its file alone does not tell that it changed.
    """

    source: ByteSource
    address: str
    query: "Query"
    schema: "pa.Schema"
    n_rows: int
    log: FileState | None = None
    delimiter: None = None
    row_index: None = None

    @property
    def size(self) -> int:
        """What there is to read: rows."""
        return self.n_rows

    def batches(self, names: list[str], n_rows: int) -> Iterator[tuple["pa.RecordBatch", int]]:
        """Yield rows with their number."""
        import pyarrow as pa

        places = [self.schema.get_field_index(name) for name in names]
        fields = [self.schema.field(name) for name in names]
        n_read = 0
        for rows in _blocks(self.source.name, self.address, self.query):
            n_read += len(rows)
            columns = [
                _column([row[place] for row in rows], field.type) for place, field in zip(places, fields, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields)), len(rows)
        change = "" if n_read == self.n_rows else f"it had {self.n_rows:,} rows and then {n_read:,}"
        if self.log is not None and FileState.of(self.log.path).held != self.log.held:
            change = change or "rows were written"
        if change:
            raise InputChanged(
                f"{self.source.name} changed while it was read: {change}. Run again when nobody writes to it, or on a "
                "copy."
            )

    def where(self, row: int) -> str:
        """Say which row of the result a row (from 0) is."""
        return f"row {row + 1}"


def shown_address(address: str) -> str:
    """Return an address without its password."""
    return PASSWORD.sub(r"\1:***@", address)


def address_of_file(path: Path) -> str | None:
    """Return the address of a data base of SQLite in a file; None for other files."""
    if path.suffix.lower() not in SQLITE_EXTENSIONS or not path.is_file():
        return None
    with path.open("rb") as stream:
        return f"sqlite:///{path}" if stream.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC else None


def file_of(address: str) -> Path | None:
    """Return the file of a data base of SQLite; None for others."""
    scheme, _, rest = address.partition("://")
    path = Path(rest.removeprefix("/").partition("?")[0])
    return path if scheme.partition("+")[0] == "sqlite" and path.is_file() else None


def open_database(address: str, source: ByteSource, given: GivenLayout, warn: Callable[[str], None]) -> DatabaseTable:
    """Read the columns of a table, or of a query, in a pass over all rows.

    Parameters
    ----------
    address : str
        As SQLAlchemy has it; ``?table=NAME`` names the table.
    source : ByteSource
        Its name, and the state of its file where it has one.
    given : GivenLayout
        What options say.
    warn : callable
        Is called with the name of the table, where nothing says which.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    import pyarrow as pa

    file = file_of(address)
    log = None if file is None else FileState.of(file.with_name(f"{file.name}-wal"))
    address, query = _query_of(address, given, warn)
    name = shown_address(address)
    named: list[str] = []
    values: list[_SqlTypes] = []
    n_rows = 0
    for rows in _blocks(name, address, query, named):
        values = values or [_SqlTypes() for _ in named]
        for row in rows:
            for types, value in zip(values, row, strict=True):
                types.update(value)
        n_rows += len(rows)
    values = values or [_SqlTypes() for _ in named]
    schema = pa.schema([pa.field(column, types.type) for column, types in zip(named, values, strict=True)])
    return DatabaseTable(source, address, query, schema, n_rows, log)


def _query_of(address: str, given: GivenLayout, warn: Callable[[str], None]) -> tuple[str, Query]:
    """Return the address without the name of a table, and the query."""
    for option in given.options:
        if option not in ("--table", "--query"):
            raise InputError(f"{option} is for files; {shown_address(address)} is a data base.")
    base, _, parameters = address.partition("?")
    pairs = urllib.parse.parse_qsl(parameters, keep_blank_values=True)
    tables = [value for key, value in pairs if key == "table"] + ([given.table] if given.table else [])
    others = urllib.parse.urlencode([(key, value) for key, value in pairs if key != "table"])
    base = f"{base}?{others}" if others else base
    if not tables and given.query is None:
        tables = [_only_table(shown_address(address), base)]
        warn(f"{shown_address(address)}: its only table, '{tables[0]}', is read.")
    if len(tables) + (given.query is not None) != 1:
        raise InputError(
            f"{shown_address(address)}: expected one table, as in sqlite:///file.db?table=orders or --table orders, or "
            "else --query."
        )
    if given.query is not None:
        if not ONLY_READS.match(given.query):
            raise InputError(f"--query {given.query}: expected one that only reads and begins with SELECT or WITH.")
        return base, Query(text=given.query)
    return base, Query(table=tables[0])


def _only_table(name: str, address: str) -> str:
    with _connected(name, address) as connection:
        from sqlalchemy import inspect

        tables = sorted([*inspect(connection).get_table_names(), *inspect(connection).get_view_names()])
    if len(tables) == 1:
        return tables[0]
    shown = ", ".join(f"'{table}'" for table in tables[:SHOWN_TABLES])
    more = f" and {len(tables) - SHOWN_TABLES} more" if len(tables) > SHOWN_TABLES else ""
    has = f"has the tables {shown}{more}" if tables else "has no table"
    raise InputError(f"{name} {has}; expected one. Name it with --table, or write a --query.")


def _blocks(name: str, address: str, query: Query, named: list[str] | None = None) -> Iterator[list[Any]]:
    """Yield the rows of a query, thousands at a time; names of its columns go into a list."""
    with _connected(name, address) as connection:
        reading = connection.execution_options(stream_results=True, yield_per=ROWS_PER_BLOCK)
        result = reading.execute(query.statement())
        if named is not None:
            named.extend(map(str, result.keys()))
        for rows in result.partitions(ROWS_PER_BLOCK):
            yield list(rows)


@contextmanager
def _connected(name: str, address: str) -> Iterator["sqlalchemy.Connection"]:
    try:
        import sqlalchemy
    except ImportError as error:
        raise InputError(f"{name} is a data base, which takes SQLAlchemy to read. Install it: {INSTALL}.") from error
    try:
        engine = sqlalchemy.create_engine(_read_only(name, address))
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()
    except ImportError as error:
        raise InputError(f"{name} takes a driver that is not installed ({error}). Install it with pip.") from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise InputError(f"{name} cannot be read: {reason}. Check the address, the table and the query.") from error


def _read_only(name: str, address: str) -> str:
    """Make sure that a file of SQLite is neither made nor changed."""
    scheme, _, rest = address.partition("://")
    if scheme.partition("+")[0] != "sqlite" or not rest.strip("/"):
        return address
    path, _, parameters = rest.removeprefix("/").partition("?")
    if path.startswith("file:"):
        return address
    if not Path(path).is_file():
        raise InputError(f"{name}: there is no file {path}. Check the path; that of an absolute one has four slashes.")
    more = f"&{parameters}" if parameters else ""
    return f"{scheme}:///file:{urllib.parse.quote(path)}?mode=ro&uri=true{more}"


class _SqlTypes:
    """The types of the values of a column, of those seen so far."""

    def __init__(self) -> None:
        from vae_anomaly_cli.sources.json_values import ValueTypes

        self.plain = ValueTypes()
        self.moments = False

    def update(self, value: Any) -> None:
        """Take a value into account."""
        if isinstance(value, dt.date):
            self.moments = True
        else:
            self.plain.update(_plain(value))

    @property
    def type(self) -> "pa.DataType":
        """The type that has room for all values."""
        import pyarrow as pa

        if self.moments:
            return pa.string() if self.plain.classes else pa.timestamp("us")
        return self.plain.type


def _plain(value: Any) -> Any:
    if isinstance(value, decimal.Decimal):
        return float(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.hex() if isinstance(value, bytes) else str(value)


def _column(values: list[Any], type_: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    from vae_anomaly_cli.sources.json_values import column_of

    if pa.types.is_timestamp(type_):
        return pa.array([_moment(value) for value in values], type_)
    return column_of([_plain(value) for value in values], type_)


def _moment(value: Any) -> dt.datetime | None:
    """Return a date as its midnight, and a time with a zone in UTC."""
    if value is None:
        return None
    if not isinstance(value, dt.datetime):
        return dt.datetime.combine(value, dt.time())
    return value if value.tzinfo is None else value.astimezone(dt.UTC).replace(tzinfo=None)
