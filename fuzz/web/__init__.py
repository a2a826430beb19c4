# SPDX-License-Identifier: GPL-2.0-only
"""A campaign as one page for a browser, which needs no network and no server."""
