from .base import Batch, Location, Source
from .find import PIPE, before_magic, find_files, holds_images, is_image, without_links
from .formats import EXTENSIONS, FORMATS, Format, TableWriter, format_of_name
from .jsonl import dumps
from .table_source import RowBatch, TableSource, listed, open_table

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "PIPE",
    "Batch",
    "Format",
    "Location",
    "RowBatch",
    "Source",
    "TableSource",
    "TableWriter",
    "before_magic",
    "dumps",
    "find_files",
    "format_of_name",
    "holds_images",
    "is_image",
    "listed",
    "open_table",
    "without_links",
]
