# SPDX-License-Identifier: GPL-2.0-only
"""Requests to the process in which a tree's code runs, and its answers, in shared memory and pipes.

The driver takes nothing but numbers from the shared memory. native/rt_serve.c has the other end.
"""

import mmap
from typing import Final

from reference.turns import Anchor

from .records import (
    ACTOR_AT,
    ANCHOR_WORDS,
    ANCHORS_AT,
    ANSWER_BYTES,
    ANSWER_HEAD,
    ANSWERS_AT,
    ARGS,
    CHAIN,
    CHAIN_WORDS,
    CHAINS_AT,
    DIGEST_AT,
    FIRST_ANSWER_AT,
    GRACE_AT,
    INFO_AT,
    KNOBS,
    KNOBS_AT,
    NAMES_AT,
    NAMES_BYTES,
    POINT_NUMBERS,
    RECORD_WORDS,
    RECORDS_AT,
    RESULT_AT,
    SHARED_BYTES,
    TEXT_AT,
    TEXT_BYTES,
    TURNS,
    TURNS_AT,
    UNWANTED_AT,
    VISITED_AT,
)
from .shared import look, put, read_byte, words_at, words_in, write_bytes
from .words import WORD_BYTES, Words, unsigned

# The byte by which the process reports an answer.
ANSWERED: Final = ord("R")
# The lower half of a word.
HALF: Final = (1 << 32) - 1
# Indices of words in the shared memory.
_RESULT: Final = RESULT_AT // WORD_BYTES
_STATUS: Final = _RESULT + 9
_COUNTS: Final = _STATUS + 1
_LEFT: Final = KNOBS_AT // WORD_BYTES
_ACTOR: Final = ACTOR_AT // WORD_BYTES
_ANCHORS: Final = ANCHORS_AT // WORD_BYTES
_ANSWERS: Final = ANSWERS_AT // WORD_BYTES
_VISITED: Final = VISITED_AT // WORD_BYTES
_INFO: Final = INFO_AT // WORD_BYTES
_GRACE: Final = GRACE_AT // WORD_BYTES
_UNWANTED: Final = UNWANTED_AT // WORD_BYTES
_RECORDS: Final = RECORDS_AT // WORD_BYTES
_GO: Final = b"G"


class Exchange:
    """Requests to a process, and its answers.

    *status*, *ret*, *info()*, *text()*: the last answer of the child; *knobs*: numbers of page allocations, small
    allocations and top-ups that still succeed, -1: all

    :param memory: a file, `candidate.tree.runtime.records.SHARED_BYTES` long, that the process also maps
    """

    def __init__(self, memory: int) -> None:
        # Set first, because a process that does not start is closed too.
        self.to_child = self.from_child = -1
        self.status = self.ret = 0
        self.records = self.names = 0
        # For a request that consists of several steps: the number of answers, the index of the current answer, and the
        # number of records before it.
        self.answers = self.answer = self.earlier = 0
        # The number of records including those of the current answer, even if the driver has already taken them.
        self.so_far = 0
        self.knobs = (-1, -1, -1)
        # Last values sent: number of areas, number of devices, reschedule interval, contention point.
        self.sent = (0, 0, 0, 0)
        self.running = False
        # Sent before the next message: marks the start of a program.
        self.first = b""
        self.memory = mmap.mmap(memory, SHARED_BYTES)
        self.shared = words_in(self.memory)

    def send_message(self, what: bytes) -> None:
        """Send a message to the process (native/rt_serve.c)."""
        if self.first:
            what, self.first = self.first + what, b""
        write_bytes(self.to_child, what)

    def send(self, op: int, a: int, b: int, c: int, d: int, e: int, f: int, g: int, h: int) -> None:
        """Send an operation with its arguments to the child; `receive` waits for the answer."""
        shared = self.shared
        put(shared, 0, op)
        put(shared, 1, a)
        put(shared, 2, b)
        put(shared, 3, c)
        put(shared, 4, d)
        put(shared, 5, e)
        put(shared, 6, f)
        put(shared, 7, g)
        put(shared, 8, h)
        self.send_message(_GO)

    def choose_actor(
        self,
        actor: int,
        anchors: list[Anchor],
        standing: tuple[int, int, int] = (0, 0, 0),
        direct: int = 0,
    ) -> None:
        """Choose the actor for the next `send`.

        :param actor: its number from 1; 0: there is only one actor
        :param anchors: where the actor gives way in the call that it begins
        :param standing: the result of `reference.turns.Turns.actor_masks`
        :param direct: 1 if turns may change in the process, which reports each change by a record; 2 if the process
            also times the changes
        """
        shared = self.shared
        count, done, waiting = standing
        put(shared, _ACTOR, actor | len(anchors) << 32)
        put(shared, _ACTOR + 1, count | done << 32)
        put(shared, _ACTOR + 2, waiting | direct << 32)
        at = _ANCHORS
        for anchor in anchors:
            put(shared, at, anchor.number | anchor.count << 32)
            put(shared, at + 1, POINT_NUMBERS[anchor.point] | (1 << 16 if anchor.after else 0) | anchor.to << 32)
            at += ANCHOR_WORDS

    def receive(self) -> bool:
        """Wait until the child has done the operation of `send`, or makes a request itself.

        :returns: whether the child is still alive; if not, its own handlers did not catch the end
        """
        if read_byte(self.from_child) != ANSWERED:
            self.running = False
            return False
        self.answers, self.answer, self.earlier = look(self.shared, _ANSWERS), 0, 0
        if self.answers > 1:
            self.show_answer()
        self.read_answer()
        return True

    def next_answer(self) -> bool:
        """Advance to the answer to the next of several steps, as if that step had been requested alone.

        :returns: whether there is a next answer
        """
        if self.answer + 1 >= self.answers:
            return False
        self.answer += 1
        self.earlier = self.so_far
        self.show_answer()
        self.read_answer()
        return True

    def show_answer(self) -> None:
        """Copy the answer to the current step to the place of an ordinary answer."""
        memory, at = self.memory, FIRST_ANSWER_AT + self.answer * ANSWER_BYTES
        memory[:ANSWER_HEAD] = memory[at : at + ANSWER_HEAD]
        memory[DIGEST_AT : DIGEST_AT + 8] = memory[at + ANSWER_BYTES - 8 : at + ANSWER_BYTES]

    def visited(self) -> int:
        """Return how many entries the code has read in the program so far; -1: later answers have not been read."""
        return -1 if self.answer + 1 < self.answers else look(self.shared, _VISITED)

    def asked(self) -> tuple[int, ...]:
        """Return the operation and the arguments that the current answer belongs to."""
        return ARGS.unpack_from(self.memory, 0)

    def read_answer(self) -> None:
        """Read the result, the status, the counts and the knobs of an answer."""
        shared = self.shared
        self.ret = look(shared, _RESULT)
        counts = look(shared, _STATUS)
        self.status, self.records = counts & HALF, counts >> 32 & HALF
        self.so_far = self.records
        self.names = look(shared, _COUNTS) >> 32 & HALF
        left = look(shared, _LEFT)
        self.knobs = low(left), low(left >> 32), low(look(shared, _LEFT + 1))

    def info(self, number: int) -> int:
        """Return an additional number of the child's last answer, by its index."""
        return unsigned(look(self.shared, _INFO + number))

    def set_knobs(
        self, pages: int, small: int, topup: int, vmas: int, devices: int, resched: int, contended: int
    ) -> None:
        """Send the number of allocations that still succeed, the number of areas, and when another task waits."""
        left, sent = (pages, small, topup), (vmas, devices, resched, contended)
        # Values that the child left unchanged need not be written again.
        if left != self.knobs or sent != self.sent:
            KNOBS.pack_into(self.memory, KNOBS_AT, *left, *sent)
            self.knobs, self.sent = left, sent

    def set_grace(self, at: int) -> None:
        """Set at which of its possible points an RCU grace period ends; 0: when the call is over."""
        put(self.shared, _GRACE, at)

    def turns(self) -> tuple[int, int]:
        """Return the number of turn changes in all programs of the process, and the time of the timed ones in ns."""
        count, time = TURNS.unpack_from(self.memory, TURNS_AT)
        return count, time

    def set_unwanted(self, kinds: int) -> None:
        """Set the kinds, one bit each, of which the process makes no records in this program."""
        put(self.shared, _UNWANTED, kinds)

    def take_records(self) -> Words:
        """Take the child's records since the last call: `RECORD_WORDS` words each, in the layout of `RECORD`."""
        first, end = self.earlier, self.records
        self.drop_records()
        count = end - first if end > first else 0
        return words_at(self.shared, _RECORDS + first * RECORD_WORDS, count * RECORD_WORDS)

    def drop_records(self) -> None:
        """Drop the child's records since the last call."""
        self.records = 0
        # This also clears shim_control->nrec, the upper half of the word of the status.
        put(self.shared, _STATUS, self.status)

    def text(self) -> str:
        """Return the text of a crash or a refusal."""
        return self.memory[TEXT_AT : TEXT_AT + TEXT_BYTES].split(b"\0")[0].decode(errors="replace")

    def name_list(self) -> list[str]:
        """Return the texts of records by number; number 0 is empty."""
        raw = self.memory[NAMES_AT : NAMES_AT + NAMES_BYTES].split(b"\0", self.names)
        return ["", *[each.decode(errors="replace") for each in raw[: self.names]]]

    def chain(self, number: int) -> tuple[int, ...]:
        """Return the return addresses of a backtrace, innermost first, as offsets in the library."""
        words = CHAIN_WORDS.unpack_from(self.memory, CHAINS_AT + (number - 1) * CHAIN_WORDS.size)
        return words[1 : 1 + min(words[0], CHAIN)]


def low(word: int) -> int:
    """Return the lower half of a word, as a signed number."""
    half = word & HALF
    return half - (1 << 32) if half >> 31 else half
