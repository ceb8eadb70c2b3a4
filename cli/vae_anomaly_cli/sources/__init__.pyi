from .base import Batch, Location, Source
from .find import Kind, check_found, is_image, kind_of, without_links
from .formats import EXTENSIONS, FORMATS, Format, TableWriter, format_of_name
from .image_source import FOLDER, PATH, ImageBatch, ImageSource, as_text, open_images
from .jsonl import dumps
from .table_source import RowBatch, TableSource, listed, open_table

__all__ = [
    "EXTENSIONS",
    "FOLDER",
    "FORMATS",
    "PATH",
    "Batch",
    "Format",
    "ImageBatch",
    "ImageSource",
    "Kind",
    "Location",
    "RowBatch",
    "Source",
    "TableSource",
    "TableWriter",
    "as_text",
    "check_found",
    "dumps",
    "format_of_name",
    "is_image",
    "kind_of",
    "listed",
    "open_images",
    "open_table",
    "without_links",
]
