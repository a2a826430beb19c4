# SPDX-License-Identifier: GPL-2.0-only
"""Requests to the process in which a tree's code runs, and its answers, in shared memory and pipes.

Of what is shared, the driver trusts nothing but numbers (native/rt_serve.c has the other end).
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
    INFO,
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
from .shared import hear, look, put, say, words_in
from .words import WORD_BYTES, Words, words_of

# What the process says when it has answered.
ANSWERED: Final = ord("R")
# The lower half of a word.
HALF: Final = (1 << 32) - 1
# Numbers of words in the shared memory.
_RESULT: Final = RESULT_AT // WORD_BYTES
_STATUS: Final = _RESULT + 9
_COUNTS: Final = _STATUS + 1
_LEFT: Final = KNOBS_AT // WORD_BYTES
_ACTOR: Final = ACTOR_AT // WORD_BYTES
_ANCHORS: Final = ANCHORS_AT // WORD_BYTES
_ANSWERS: Final = ANSWERS_AT // WORD_BYTES
_VISITED: Final = VISITED_AT // WORD_BYTES
_GO: Final = b"G"


class Exchange:
    """Requests to a process, and its answers.

    *status*, *ret*, *info*, *text*: what the child said last; *knobs*: allocations of pages, small
    memory and top-ups that still succeed, -1: all

    :param memory: a file, `candidate.tree.runtime.records.SHARED_BYTES` long, that the process has mapped too
    """

    def __init__(self, memory: int) -> None:
        # First of all: a process that does not start is closed too.
        self.says = self.hears = -1
        self.status = self.ret = 0
        self.records = self.names = 0
        # Of a request that was several steps: answers that there are, the number of the one that the driver looks at,
        # and records before it.
        self.answers = self.answer = self.earlier = 0
        # Those of the last answer too, of which the driver may have taken some.
        self.so_far = 0
        self.knobs = (-1, -1, -1)
        # How many areas and devices there are, and when another task waits: as it was told last.
        self.told = (0, 0, 0, 0)
        self.running = False
        # Goes before what is said next: a program begins.
        self.first = b""
        self.memory = mmap.mmap(memory, SHARED_BYTES)
        self.shared = words_in(self.memory)

    def tell(self, what: bytes) -> None:
        """Say something to the process (native/rt_serve.c)."""
        if self.first:
            what, self.first = self.first + what, b""
        say(self.says, what)

    def send(self, op: int, a: int, b: int, c: int, d: int, e: int, f: int, g: int, h: int) -> None:
        """Have the child do something; `receive` waits for it."""
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
        self.tell(_GO)

    def speak_to(
        self,
        actor: int,
        anchors: list[Anchor],
        standing: tuple[int, int, int] = (0, 0, 0),
        direct: int = 0,
    ) -> None:
        """Say whom the next `send` is for, from 1; 0: there is only one actor.

        :param anchors: where it gives way in the call that it begins
        :param standing: as `reference.turns.Turns.standing` has it
        :param direct: 1 if turns may change in the process, which tells of it by records; 2 if they are timed too
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
        """Wait until the child has done what `send` said, or wants something.

        :returns: whether it still lives; if not, nobody caught what ended it
        """
        if hear(self.hears) != ANSWERED:
            self.running = False
            return False
        self.answers, self.answer, self.earlier = look(self.shared, _ANSWERS), 0, 0
        if self.answers > 1:
            self.show_answer()
        self.read_answer()
        return True

    def next_answer(self) -> bool:
        """Go on to the answer to the next of several steps, as if it had been asked for alone.

        :returns: whether there is one
        """
        if self.answer + 1 >= self.answers:
            return False
        self.answer += 1
        self.earlier = self.so_far
        self.show_answer()
        self.read_answer()
        return True

    def show_answer(self) -> None:
        """Let the answer to a step stand where an answer stands."""
        memory, at = self.memory, FIRST_ANSWER_AT + self.answer * ANSWER_BYTES
        memory[:ANSWER_HEAD] = memory[at : at + ANSWER_HEAD]
        memory[DIGEST_AT : DIGEST_AT + 8] = memory[at + ANSWER_BYTES - 8 : at + ANSWER_BYTES]

    def visited(self) -> int:
        """Return how many entries the code has read in the program so far; -1: there are later answers to look at."""
        return -1 if self.answer + 1 < self.answers else look(self.shared, _VISITED)

    def asked(self) -> tuple[int, ...]:
        """Return the operation and the arguments that the answer is to."""
        return ARGS.unpack_from(self.memory, 0)

    def read_answer(self) -> None:
        """Take over what the child says."""
        shared = self.shared
        self.ret = look(shared, _RESULT)
        counts = look(shared, _STATUS)
        self.status, self.records = counts & HALF, counts >> 32 & HALF
        self.so_far = self.records
        self.names = look(shared, _COUNTS) >> 32 & HALF
        left = look(shared, _LEFT)
        self.knobs = low(left), low(left >> 32), low(look(shared, _LEFT + 1))

    @property
    def info(self) -> tuple[int, ...]:
        """The numbers that go with what the child said last."""
        return INFO.unpack_from(self.memory, INFO_AT)

    def set_knobs(
        self, pages: int, small: int, topup: int, vmas: int, devices: int, resched: int, contended: int
    ) -> None:
        """Say how many allocations still succeed, how many areas there are, and when another task waits."""
        left, told = (pages, small, topup), (vmas, devices, resched, contended)
        # What the child has left there need not be written again.
        if left != self.knobs or told != self.told:
            KNOBS.pack_into(self.memory, KNOBS_AT, *left, *told)
            self.knobs, self.told = left, told

    def set_grace(self, at: int) -> None:
        """Say at which of the points at which it could a grace period of RCU ends; 0: when the call is over."""
        self.memory[GRACE_AT : GRACE_AT + 8] = at.to_bytes(8, "little")

    def turns(self) -> tuple[int, int]:
        """The number of changes of turns in the process, of all its programs, and the time of the timed ones, in ns."""
        count, time = TURNS.unpack_from(self.memory, TURNS_AT)
        return count, time

    def set_unwanted(self, kinds: int) -> None:
        """Say of which kinds, a bit for each, no records are made in this program."""
        self.memory[UNWANTED_AT : UNWANTED_AT + 8] = kinds.to_bytes(8, "little")

    def take_records(self) -> Words:
        """Take the records of the child since the last call: `RECORD_WORDS` words each, as `RECORD` has them."""
        first, end = self.earlier, self.records
        self.drop_records()
        size = RECORD_WORDS * WORD_BYTES
        return words_of(self.memory[RECORDS_AT + first * size : RECORDS_AT + end * size])

    def drop_records(self) -> None:
        """Forget the records of the child since the last call."""
        self.records = 0
        # shim_control->nrec, behind the status.
        put(self.shared, _STATUS, self.status)

    def text(self) -> str:
        """The words that go with a crash or a refusal."""
        return self.memory[TEXT_AT : TEXT_AT + TEXT_BYTES].split(b"\0")[0].decode(errors="replace")

    def name_list(self) -> list[str]:
        """The texts of records by number; 0 is none."""
        raw = self.memory[NAMES_AT : NAMES_AT + NAMES_BYTES].split(b"\0", self.names)
        return ["", *[each.decode(errors="replace") for each in raw[: self.names]]]

    def chain(self, number: int) -> tuple[int, ...]:
        """The return addresses of a backtrace, innermost first, as offsets in the library."""
        words = CHAIN_WORDS.unpack_from(self.memory, CHAINS_AT + (number - 1) * CHAIN_WORDS.size)
        return words[1 : 1 + min(words[0], CHAIN)]


def low(word: int) -> int:
    """The lower half of a word, as a signed number."""
    half = word & HALF
    return half - (1 << 32) if half >> 31 else half
