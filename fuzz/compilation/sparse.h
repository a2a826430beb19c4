/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The functions of reference/machine/sparse.py and spans.py for compiled code: they make no objects, and keep none for a
 * moment.
 */
#ifndef S2FUZZ_SPARSE_H
#define S2FUZZ_SPARSE_H
#include <Python.h>
#include "CPy.h"

/* As in that module. */
#define S2FUZZ_SHIFT 6
#define S2FUZZ_STRETCH (1 << S2FUZZ_SHIFT)

static inline CPyTagged s2fuzz_word_of(PyObject *stretches, CPyTagged index)
{
	Py_ssize_t number = CPyTagged_ShortAsSsize_t(index);
	Py_ssize_t at = number >> S2FUZZ_SHIFT;
	PyObject *stretch, *word;

	if (unlikely(at < 0))
		at += PyList_GET_SIZE(stretches);
	if (unlikely(!CPyTagged_CheckShort(index) || (size_t)at >= (size_t)PyList_GET_SIZE(stretches)))
		goto none;
	stretch = PyList_GET_ITEM(stretches, at);
	if (unlikely(!PyList_Check(stretch) || PyList_GET_SIZE(stretch) != S2FUZZ_STRETCH))
		goto none;
	word = PyList_GET_ITEM(stretch, number & (S2FUZZ_STRETCH - 1));
	if (unlikely(!PyLong_Check(word)))
		goto none;
	return CPyTagged_FromObject(word);
none:
	PyErr_SetString(PyExc_IndexError, "list index out of range");
	return CPY_INT_TAG;
}

static inline int s2fuzz_is_zero(PyObject *word)
{
#if PY_VERSION_HEX < 0x030c0000
	return !Py_SIZE(word);
#else
	return !CPyTagged_BorrowFromObject(word);
#endif
}

static inline CPyTagged s2fuzz_used_from(PyObject *words, CPyTagged first)
{
	Py_ssize_t at = CPyTagged_ShortAsSsize_t(first);
	Py_ssize_t size = PyList_GET_SIZE(words);

	while (at < size && s2fuzz_is_zero(PyList_GET_ITEM(words, at)))
		at++;
	return (CPyTagged)(at < size ? at : S2FUZZ_STRETCH) << 1;
}

static inline CPyTagged s2fuzz_not_zero(PyObject *words)
{
	Py_ssize_t found = 0;

	for (Py_ssize_t at = 0; at < PyList_GET_SIZE(words); at++)
		found += !s2fuzz_is_zero(PyList_GET_ITEM(words, at));
	return (CPyTagged)found << 1;
}

static inline CPyTagged s2fuzz_odd(PyObject *words)
{
	Py_ssize_t found = 0;

	for (Py_ssize_t at = 0; at < PyList_GET_SIZE(words); at++) {
		PyLongObject *word = (PyLongObject *)PyList_GET_ITEM(words, at);

#if PY_VERSION_HEX < 0x030c0000
		found += Py_SIZE(word) && word->ob_digit[0] & 1;
#else
		found += word->long_value.ob_digit[0] & 1;
#endif
	}
	return (CPyTagged)found << 1;
}

/* Of numbers that fit in a word; tagged ones have the same order. */
static inline CPyTagged s2fuzz_last_up_to(PyObject *starts, CPyTagged index)
{
	Py_ssize_t low = 0, high = PyList_GET_SIZE(starts);

	while (high - low > 1) {
		Py_ssize_t middle = (low + high) >> 1;

		if ((Py_ssize_t)CPyTagged_FromObject(PyList_GET_ITEM(starts, middle)) <= (Py_ssize_t)index)
			low = middle;
		else
			high = middle;
	}
	return (CPyTagged)low << 1;
}
#endif
