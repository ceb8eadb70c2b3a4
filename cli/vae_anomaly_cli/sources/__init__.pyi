from .base import Batch, Location, Source
from .find import PIPE, before_magic, find_files, holds_images, is_image, without_links
from .formats import EXTENSIONS, FORMATS, Format, TableWriter, format_of_name
from .image_source import FOLDER, PATH, ImageBatch, ImageSource, as_text, open_images
from .jsonl import dumps
from .table_source import RowBatch, TableSource, listed, open_table

__all__ = [
    "EXTENSIONS",
    "FOLDER",
    "FORMATS",
    "PATH",
    "PIPE",
    "Batch",
    "Format",
    "ImageBatch",
    "ImageSource",
    "Location",
    "RowBatch",
    "Source",
    "TableSource",
    "TableWriter",
    "as_text",
    "before_magic",
    "dumps",
    "find_files",
    "format_of_name",
    "holds_images",
    "is_image",
    "listed",
    "open_images",
    "open_table",
    "without_links",
]
