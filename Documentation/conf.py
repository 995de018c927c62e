# SPDX-License-Identifier: GPL-2.0
"""Sphinx, for `make doc`."""

project = "zsmalloc-rs"
author = copyright = "The zsmalloc-rs developers"
extensions = []
exclude_patterns = ["examples"]
html_theme = "alabaster"
html_theme_options = {"page_width": "60em", "sidebar_width": "14em"}
html_show_copyright = False
highlight_language = "none"
