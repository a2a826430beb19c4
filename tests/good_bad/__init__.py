# SPDX-License-Identifier: GPL-2.0-only
"""One tiny good and one tiny bad case for each rule of each checker."""
