# SPDX-License-Identifier: GPL-2.0-only
"""Programs kept for fuzzing: each once, in a folder that many processes share."""

from .folder import Bad, Corpus, CorpusError

__all__ = ["Bad", "Corpus", "CorpusError"]
