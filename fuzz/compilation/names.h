/* SPDX-License-Identifier: GPL-2.0-only */
/* Part of short.h: texts, most of which are names. */
#ifndef S2FUZZ_NAMES_H
#define S2FUZZ_NAMES_H

/* Names are interned: then two that are equal are the same one. */
S2FUZZ_SHORT int s2fuzz_is_name(PyObject *object)
{
	return PyUnicode_CheckExact(object) && PyUnicode_CHECK_INTERNED(object);
}

S2FUZZ_SHORT bool s2fuzz_equals_literal(PyObject *text, PyObject *literal, Py_ssize_t length)
{
	if (text == literal)
		return true;
	return s2fuzz_is_name(text) ? false : CPyStr_EqualLiteral(text, literal, length);
}

/* Whether a list has a name; -1: an error. */
static inline int s2fuzz_has_name(PyObject *list, PyObject *name)
{
	for (Py_ssize_t at = 0; at < PyList_GET_SIZE(list); at++) {
		PyObject *item = PyList_GET_ITEM(list, at);

		if (item == name)
			return 1;
		if (!s2fuzz_is_name(item))
			return PySequence_Contains(list, name);
	}
	return 0;
}

S2FUZZ_SHORT int s2fuzz_contains(PyObject *all, PyObject *one)
{
	return PyList_CheckExact(all) && s2fuzz_is_name(one) ? s2fuzz_has_name(all, one) : PySequence_Contains(all, one);
}

#endif
