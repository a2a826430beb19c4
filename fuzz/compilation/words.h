/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The functions of candidate/tree/runtime/words.py for compiled code: words stay in the bytes that they came in, and a number
 * is made of one when it is asked for.
 */
#ifndef S2FUZZ_WORDS_H
#define S2FUZZ_WORDS_H
#include <Python.h>
#include "CPy.h"
#include "shared.h"
#include "short.h"
#include "sparse.h"
#include "text.h"
#include <string.h>

/* A function that runs too rarely to be worth optimising, or a place between those that run. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__ELF__)
#define S2FUZZ_RARE __attribute__((section(".text.unlikely"), optimize("O0")))
/* So is what is done about an exception. */
__typeof__(CPy_AddTraceback) CPy_AddTraceback __attribute__((cold));
__typeof__(CPy_TypeErrorTraceback) CPy_TypeErrorTraceback __attribute__((cold));
#else
#define S2FUZZ_RARE
#endif

static inline PyObject *s2fuzz_words_of(PyObject *data)
{
	if (!PyBytes_CheckExact(data)) {
		PyErr_SetString(PyExc_TypeError, "words are made of bytes");
		return NULL;
	}
	Py_INCREF(data);
	return data;
}

/* Of nothing, where interpreted code has made the words, a list. */
static inline CPyTagged s2fuzz_word_count(PyObject *words)
{
	return (CPyTagged)(PyBytes_CheckExact(words) ? PyBytes_GET_SIZE(words) / 8 : Py_SIZE(words)) << 1;
}

static inline CPyTagged s2fuzz_word(PyObject *words, CPyTagged at)
{
	Py_ssize_t number = CPyTagged_ShortAsSsize_t(at);
	int64_t value;

	if (!PyBytes_CheckExact(words) || !CPyTagged_CheckShort(at) || number < 0 || number >= PyBytes_GET_SIZE(words) / 8) {
		PyErr_SetString(PyExc_IndexError, "no such word");
		return CPY_INT_TAG;
	}
	memcpy(&value, PyBytes_AS_STRING(words) + number * 8, sizeof(value));
	if (value >= CPY_TAGGED_MIN && value <= CPY_TAGGED_MAX)
		return (CPyTagged)value << 1;
	return CPyTagged_FromInt64(value);
}
#endif
