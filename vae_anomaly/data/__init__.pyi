from .image_files import SUFFIXES, ImageFileError, find_images, survey, write_png
from .image_folders import ImageFiles, is_pillow_images, list_images, open_images, read_pillow_images
from .image_formats import ImageFormat, Problem, Size
from .images import Images, arranged, as_array, is_images, read_arrays
from .table import FloatArray, ObjectArray, Table, holds_long_numbers, text_of, with_missing_cells

__all__ = [
    "SUFFIXES",
    "FloatArray",
    "ImageFileError",
    "ImageFiles",
    "ImageFormat",
    "Images",
    "ObjectArray",
    "Problem",
    "Size",
    "Table",
    "arranged",
    "as_array",
    "find_images",
    "holds_long_numbers",
    "is_images",
    "is_pillow_images",
    "list_images",
    "open_images",
    "read_arrays",
    "read_pillow_images",
    "survey",
    "text_of",
    "with_missing_cells",
    "write_png",
]
