# The documentation: python -m sphinx -W -b html docs docs/_build
#
# DOCS_OFFLINE=1        fetch nothing: no links into the manuals of other projects
# DOCS_GALLERY=02_auto  run only the tutorials whose path contains this
import os
import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS), str(DOCS / "_ext")]
os.environ.update(TINYCONV_PROGRESS="0", TQDM_DISABLE="1", MPLBACKEND="Agg")

from settings_table import settings_table

import tinyconv

project = "tinyconv"
author = copyright = "the tinyconv authors"
release = version = tinyconv.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "tinyconv_sphinx",
]
exclude_patterns = ["_build", "tutorials/**/*.ipynb", "tutorials/**/*.py", "tutorials/**/*.md5"]
templates_path = ["_templates"]
suppress_warnings = ["config.cache"]
myst_enable_extensions = ["colon_fence", "dollarmath", "substitution"]
myst_heading_anchors = 3
myst_substitutions = {"settings_table": settings_table()}

# -- API reference ------------------------------------------------------------------------------

autosummary_generate = True
autosummary_ignore_module_all = False  # what a module lists in __all__ is its public face
autosummary_filename_map = {"tinyconv.Tensor": "tinyconv.class.Tensor"}  # beside tinyconv.tensor
autodoc_typehints = "none"  # the Parameters sections say more
napoleon_google_docstring = False
nitpicky = True
# Types in docstrings are words ("sequence of int"); links into tinyconv itself must resolve.
nitpick_ignore_regex = [
    ("py:class", r"(?!tinyconv\.).*"),
    ("py:(class|obj)", r"tinyconv\..*\.(_\w+|T)"),  # private bases and type variables
    (
        "py:class",
        r"tinyconv\.ops\..*",
    ),  # their pages are those of the public names
    ("py:mod", r"tinyconv\.ops"),  # its functions are on the pages of tinyconv and functional
]
online = os.environ.get("DOCS_OFFLINE") != "1"
manuals = {"python": "https://docs.python.org/3", "numpy": "https://numpy.org/doc/stable"}
intersphinx_mapping = {name: (url, None) for name, url in manuals.items() if online}

# -- tutorials ----------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": "../tutorials",
    "gallery_dirs": "tutorials",
    "filename_pattern": re.escape(os.environ.get("DOCS_GALLERY", "")) or r"/\d\d_",
    "within_subsection_order": "FileNameSortKey",
    "doc_module": ("tinyconv",),
    "reference_url": {"tinyconv": None},
    "backreferences_dir": "api/backreferences",
    "image_scrapers": ("matplotlib",),
    "image_srcset": ["2x"],
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "first_notebook_cell": '%pip install "tinyconv[data,viz]"',
    "min_reported_time": 1,
    "show_memory": False,
    "show_signature": False,
}

# -- HTML ---------------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = "tinyconv"
html_static_path = ["_static"]
html_css_files = ["tinyconv.css"]
html_math_renderer = "mathml"
html_copy_source = html_show_sourcelink = False
html_sidebars = {"index": []}
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "show_toc_level": 2,
    "pygments_light_style": "friendly",
    "pygments_dark_style": "github-dark",
    "footer_start": ["copyright"],
    "footer_end": [],
}
copybutton_exclude = ".linenos, .gp, .go"
