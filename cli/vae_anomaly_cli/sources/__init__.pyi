from .base import Batch, Location, Source
from .find import Kind, as_text, check_found, is_image, kind_of, without_links
from .formats import EXTENSIONS, FORMATS, WRITTEN_EXTENSIONS, Format, TableWriter, format_of_name
from .given import NO_HEADER, GivenLayout
from .image_source import FOLDER, PATH, ImageBatch, ImageSource, open_images
from .json_values import dumps
from .remote import scheme_of
from .special_files import kind_of_special
from .table_source import RowBatch, TableSource, listed, open_table

__all__ = [
    "EXTENSIONS",
    "FOLDER",
    "FORMATS",
    "NO_HEADER",
    "PATH",
    "WRITTEN_EXTENSIONS",
    "Batch",
    "Format",
    "GivenLayout",
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
    "kind_of_special",
    "listed",
    "open_images",
    "open_table",
    "scheme_of",
    "without_links",
]
