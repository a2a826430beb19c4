# SPDX-License-Identifier: GPL-2.0-only
"""Views of a campaign: the overview of its database, plain lines, the status screen."""
