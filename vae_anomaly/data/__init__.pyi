from .column_names import ColumnRoles, close_name, match_names
from .column_places import NOT_THERE, KnownColumns, check_unique
from .digests import row_digests
from .hashed_texts import HashedTexts, is_hashed, with_hashed
from .image_files import SUFFIXES, ImageFileError, check_sizes, decode_image, find_images, survey, write_png
from .image_folders import ImageFiles, is_pillow_images, list_images, open_images, read_pillow_images
from .image_formats import ImageFormat, Problem, Size
from .images import Images, arranged, as_array, is_images, read_arrays
from .known_text import CONTENT, KnownText, cells_of, empty_of, is_few, read_known_text, unreadable_text
from .labels import anomalous
from .level_codes import LevelCodes
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
    "CONTENT",
    "FLAG_WORDS",
    "MISSING_TEXTS",
    "NOT_THERE",
    "SUFFIXES",
    "ColumnRoles",
    "DecimalMarks",
    "FloatArray",
    "HashedTexts",
    "ImageFileError",
    "ImageFiles",
    "ImageFormat",
    "Images",
    "KnownColumns",
    "KnownText",
    "LearnedText",
    "LevelCodes",
    "ObjectArray",
    "Problem",
    "Size",
    "Table",
    "TextColumn",
    "TextFormat",
    "TextKind",
    "TextRules",
    "anomalous",
    "arranged",
    "as_array",
    "cells_of",
    "check_sizes",
    "check_unique",
    "close_name",
    "decode_image",
    "empty_of",
    "find_images",
    "holds_long_numbers",
    "is_few",
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
    "read_known_text",
    "read_pillow_images",
    "row_digests",
    "survey",
    "text_of",
    "unreadable_text",
    "with_hashed",
    "with_missing_cells",
    "write_png",
]
