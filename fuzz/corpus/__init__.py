# SPDX-License-Identifier: GPL-2.0-only
"""Programs kept for fuzzing: each once, in a folder that many processes share."""

from .folder import BadFile, Corpus, CorpusError

__all__ = ["BadFile", "Corpus", "CorpusError"]
