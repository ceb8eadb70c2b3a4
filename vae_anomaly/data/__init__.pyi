from .column_names import ColumnRoles, close_name, match_names
from .hashed_texts import HashedTexts, is_hashed, with_hashed
from .image_files import SUFFIXES, ImageFileError, find_images, survey, write_png
from .image_folders import ImageFiles, is_pillow_images, list_images, open_images, read_pillow_images
from .image_formats import ImageFormat, Problem, Size
from .images import Images, arranged, as_array, is_images, read_arrays
from .table import FloatArray, ObjectArray, Table, holds_long_numbers, text_of, with_missing_cells
from .text_dates import order_of
from .text_format import (
    FLAG_WORDS,
    MISSING_TEXTS,
    DecimalMarks,
    LearnedText,
    TextColumn,
    TextFormat,
    TextKind,
    TextRules,
    learn_levels,
    learn_text,
)

__all__ = [
    "FLAG_WORDS",
    "MISSING_TEXTS",
    "SUFFIXES",
    "ColumnRoles",
    "DecimalMarks",
    "FloatArray",
    "HashedTexts",
    "ImageFileError",
    "ImageFiles",
    "ImageFormat",
    "Images",
    "LearnedText",
    "ObjectArray",
    "Problem",
    "Size",
    "Table",
    "TextColumn",
    "TextFormat",
    "TextKind",
    "TextRules",
    "arranged",
    "as_array",
    "close_name",
    "find_images",
    "holds_long_numbers",
    "is_hashed",
    "is_images",
    "is_pillow_images",
    "learn_levels",
    "learn_text",
    "list_images",
    "match_names",
    "open_images",
    "order_of",
    "read_arrays",
    "read_pillow_images",
    "survey",
    "text_of",
    "with_hashed",
    "with_missing_cells",
    "write_png",
]
