# SPDX-License-Identifier: GPL-2.0-only
"""The parts of a campaign that one process holds open."""

import sqlite3
from typing import NamedTuple

from ...corpus import Corpus
from .log import Log


class OpenCampaign(NamedTuple):
    """The parts of an open campaign.

    :param log: locked by this process
    :param seed: of the campaign
    """

    db: sqlite3.Connection
    log: Log
    corpus: Corpus
    seed: int
