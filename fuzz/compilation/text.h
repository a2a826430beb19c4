/* SPDX-License-Identifier: GPL-2.0-only */
/* The fields of f-strings for compiled code: numbers in hexadecimal, and text as it is, without ``str.format()``. */
#ifndef S2FUZZ_TEXT_H
#define S2FUZZ_TEXT_H
#include <Python.h>
#include <string.h>

static inline int s2fuzz_is_text(PyObject *text, const char *expected, Py_ssize_t size)
{
	return PyUnicode_IS_COMPACT_ASCII(text) && PyUnicode_GET_LENGTH(text) == size &&
	       !memcmp(PyUnicode_DATA(text), expected, size);
}

/* A field is a call of ``format()`` with the value and what follows its colon; a truth value is no integer here. */
static inline PyObject *s2fuzz_format(PyObject *form, PyObject *value, PyObject *spec)
{
	if (s2fuzz_is_text(form, "{:{}}", 5)) {
		if (!PyUnicode_GET_LENGTH(spec)) {
			if (PyUnicode_CheckExact(value) || PyLong_CheckExact(value))
				return PyObject_Str(value);
		} else if (PyLong_CheckExact(value) && s2fuzz_is_text(spec, "#x", 2)) {
			return PyNumber_ToBase(value, 16);
		}
	}
	return PyObject_CallMethod(form, "format", "OO", value, spec);
}
#endif
