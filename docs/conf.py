"""How the documentation is built: `make docs`; warnings are errors, and nothing is fetched."""

import importlib.metadata
import sys
import warnings
from pathlib import Path

from vae_anomaly import VAEAnomalyWarning

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

# A tutorial that makes the library warn fails the build.
warnings.simplefilter("error", VAEAnomalyWarning)

project = "vae-anomaly"
author = "the vae-anomaly developers"
copyright = "the vae-anomaly developers"  # noqa: A001 - Sphinx's name
release = version = importlib.metadata.version("vae-anomaly")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "vae_anomaly_docs.mathml",
    "vae_anomaly_docs.repository_pages",
    "vae_anomaly_docs.python_reference",
    "vae_anomaly_docs.command_reference",
]
exclude_patterns = ["_build", "vae_anomaly_docs", "tutorials"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
default_role = "py:obj"

suppress_warnings = ["config.cache"]

# Docstrings have the types; repeated in the signature they would hide the names.
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
autodoc_member_order = "groupwise"
autosummary_generate = False
python_maximum_signature_line_length = 88
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
# A section that is misspelt, out of order or of unknown parameters fails the build.
numpydoc_validation_checks = {"GL06", "GL07", "PR02", "SS01"}
numpydoc_validation_exclude = {r"\.__init__$", r"^sklearn\.", r"^tutorials\."}

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 4
html_math_renderer = "mathml"

sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "generated/tutorials",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "write_computation_times": False,
    "capture_repr": ("_repr_html_",),
    "show_signature": False,
    "min_reported_time": 1000,
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("matplotlib",),
    "reset_modules": ("matplotlib",),
    "default_thumb_file": str(DOCS / "_static" / "icon.png"),
}

html_theme = "pydata_sphinx_theme"
html_title = "vae-anomaly"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": "vae-anomaly"},
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_prev_next": True,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
