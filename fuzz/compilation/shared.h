/* SPDX-License-Identifier: GPL-2.0-only */
/* The functions of candidate/tree/runtime/shared.py for compiled code: they make no objects. */
#ifndef S2FUZZ_SHARED_H
#define S2FUZZ_SHARED_H
#include <Python.h>
#include "CPy.h"
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

/* The word, or NULL with an exception. */
static inline char *s2fuzz_word_in(PyObject *words, CPyTagged at)
{
	Py_ssize_t number = CPyTagged_ShortAsSsize_t(at);

	if (!PyMemoryView_Check(words) || !CPyTagged_CheckShort(at) || number < 0 ||
	    number >= PyMemoryView_GET_BUFFER(words)->len / 8) {
		PyErr_SetString(PyExc_IndexError, "no such word");
		return NULL;
	}
	return (char *)PyMemoryView_GET_BUFFER(words)->buf + number * 8;
}

static inline int s2fuzz_put(PyObject *words, CPyTagged at, CPyTagged value)
{
	char *word = s2fuzz_word_in(words, at);
	uint64_t bits;

	if (!word)
		return -1;
	if (CPyTagged_CheckShort(value)) {
		bits = (uint64_t)CPyTagged_ShortAsSsize_t(value);
	} else {
		bits = PyLong_AsUnsignedLongLongMask(CPyTagged_LongAsObject(value));
		if (bits == (uint64_t)-1 && PyErr_Occurred())
			return -1;
	}
	memcpy(word, &bits, sizeof(bits));
	return 0;
}

static inline CPyTagged s2fuzz_look(PyObject *words, CPyTagged at)
{
	const char *word = s2fuzz_word_in(words, at);
	int64_t value;

	if (!word)
		return CPY_INT_TAG;
	memcpy(&value, word, sizeof(value));
	if (value >= CPY_TAGGED_MIN && value <= CPY_TAGGED_MAX)
		return (CPyTagged)value << 1;
	return CPyTagged_FromInt64(value);
}

/* A copy of words, as bytes. */
static inline PyObject *s2fuzz_words_at(PyObject *words, CPyTagged at, CPyTagged count)
{
	Py_ssize_t number = CPyTagged_ShortAsSsize_t(count);
	Py_ssize_t first = CPyTagged_ShortAsSsize_t(at);

	if (!PyMemoryView_Check(words) || !CPyTagged_CheckShort(at) || !CPyTagged_CheckShort(count) || first < 0 ||
	    number < 0 || number > PyMemoryView_GET_BUFFER(words)->len / 8 - first) {
		PyErr_SetString(PyExc_IndexError, "no such word");
		return NULL;
	}
	return PyBytes_FromStringAndSize((char *)PyMemoryView_GET_BUFFER(words)->buf + first * 8, number * 8);
}

/* The core on which the thread currently runs, from 1. */
static inline CPyTagged s2fuzz_core(void)
{
	return (CPyTagged)(sched_getcpu() + 1) << 1;
}

/* A signal's handler has run, which may have raised an exception. */
static inline int s2fuzz_interrupted(ssize_t done)
{
	if (done >= 0)
		return 0;
	if (errno != EINTR) {
		PyErr_SetFromErrno(PyExc_OSError);
		return -1;
	}
	return PyErr_CheckSignals() ? -1 : 1;
}

static inline int s2fuzz_write_bytes(CPyTagged fd, PyObject *what)
{
	int again;

	do {
		ssize_t done;

		Py_BEGIN_ALLOW_THREADS
		done = write((int)CPyTagged_ShortAsSsize_t(fd), PyBytes_AS_STRING(what), PyBytes_GET_SIZE(what));
		Py_END_ALLOW_THREADS
		again = s2fuzz_interrupted(done);
	} while (again > 0);
	return again;
}

static inline CPyTagged s2fuzz_read_byte(CPyTagged fd)
{
	unsigned char byte;
	ssize_t done;
	int again;

	do {
		Py_BEGIN_ALLOW_THREADS
		done = read((int)CPyTagged_ShortAsSsize_t(fd), &byte, 1);
		Py_END_ALLOW_THREADS
		again = s2fuzz_interrupted(done);
	} while (again > 0);
	if (again < 0)
		return CPY_INT_TAG;
	return done ? (CPyTagged)byte << 1 : (CPyTagged)((size_t)-1 << 1);
}
#endif
