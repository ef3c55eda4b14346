"""How the documents become a site: `make docs`, with Sphinx and its Markdown reader, nothing fetched from anywhere."""

from panopticond import __version__

project = "Panopticon and Arke"
author = "the authors of Panopticon"
release = version = __version__
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
myst_heading_anchors = 4
html_theme = "alabaster"
html_theme_options = {"description": "Domain abuse, for ccTLDs", "fixed_sidebar": True, "show_powered_by": False}
html_show_sourcelink = False
html_copy_source = False
pygments_style = "default"
