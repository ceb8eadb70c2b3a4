"""Writing files: whole or not at all under their names, and what is no regular file is written through."""

from vae_anomaly.files.destinations import are_one_file, descriptor_of, file_numbers, final_path, is_replaced
from vae_anomaly.files.folders import make_folder
from vae_anomaly.files.output_file import OutputFile
from vae_anomaly.files.stale_parts import remove_noted_parts, remove_stale_parts

__all__ = [
    "OutputFile",
    "are_one_file",
    "descriptor_of",
    "file_numbers",
    "final_path",
    "is_replaced",
    "make_folder",
    "remove_noted_parts",
    "remove_stale_parts",
]
