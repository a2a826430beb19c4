# SPDX-License-Identifier: GPL-2.0-only
"""Views of a campaign: the overview that its database gives, plain lines, the status screen."""
