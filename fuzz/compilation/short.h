/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The short way through functions of Python and of the runtime library of mypyc, for compiled code: it does itself what
 * such a function does most of the time, and calls it for the rest.
 */
#ifndef S2FUZZ_SHORT_H
#define S2FUZZ_SHORT_H
#include <Python.h>
#include "CPy.h"

/* Looks a key up. 1: found; 0: it is not there; -1: an error. */
static inline int s2fuzz_dict_search(PyObject *dict, PyObject *key, PyObject **value)
{
	*value = PyDict_GetItemWithError(dict, key);
	return *value ? 1 : PyErr_Occurred() ? -1 : 0;
}

/* Without the global lock, others change a list or a dictionary at any time: the library takes a lock of its own then. */
#if defined(__GNUC__) && !defined(Py_GIL_DISABLED)
#define S2FUZZ_SHORT static inline __attribute__((always_inline))
/* A function of short.c: there is one for all modules. */
#define S2FUZZ_ONCE __attribute__((visibility("hidden")))
/* Elements for which a list keeps its room when it has lost them. */
#define S2FUZZ_FEW 8

/* An object of a derived class: first bases are in the cache of the core, as classes that many others derive from. */
S2FUZZ_SHORT int s2fuzz_type_check(PyObject *object, PyTypeObject *type)
{
	PyTypeObject *kind = Py_TYPE(object);

	do {
		if (kind == type)
			return 1;
		kind = kind->tp_base;
	} while (kind);
	return PyType_IsSubtype(Py_TYPE(object), type);
}

/* The arguments of a constructor, if all are by position; 0: the library has to parse them. */
S2FUZZ_ONCE int s2fuzz_arguments(PyObject *arguments, PyObject *names, const char *format, ...);

/* What integers and dictionaries are made of: those of Python 3.11, the oldest that there is. */
#if PY_VERSION_HEX < 0x030c0000 && PYLONG_BITS_IN_DIGIT == 30 && !defined(Py_REF_DEBUG)
#define S2FUZZ_LONGS
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE
#include "internal/pycore_dict.h"
#undef Py_BUILD_CORE
#else
#include "internal/pycore_dict.h"
#endif
#include "spares.h"
#endif

/* The integers of Python that are always the same objects; each from when it is needed first. */
#define S2FUZZ_SMALL 256
S2FUZZ_ONCE extern PyObject *s2fuzz_small[S2FUZZ_SMALL + 1];

/* A number that is none of these, or is needed for the first time. */
S2FUZZ_ONCE PyObject *s2fuzz_boxed(CPyTagged number);

S2FUZZ_SHORT PyObject *s2fuzz_as_object(CPyTagged number)
{
	if (number <= S2FUZZ_SMALL << 1 && CPyTagged_CheckShort(number)) {
		PyObject *object = s2fuzz_small[number >> 1];

		if (likely(object != NULL)) {
			Py_INCREF(object);
			return object;
		}
	}
	return s2fuzz_boxed(number);
}

#ifdef S2FUZZ_LONGS
/* Two digits at most: guest addresses and descriptors have no more. A zero of a derived class, as of an enumeration, has none. */
S2FUZZ_SHORT CPyTagged s2fuzz_from_object(PyObject *object)
{
	const digit *digits = ((PyLongObject *)object)->ob_digit;

	if (Py_SIZE(object) == 1)
		return (CPyTagged)digits[0] << 1;
	if (Py_SIZE(object) == 0)
		return 0;
	if (Py_SIZE(object) == 2)
		return ((CPyTagged)digits[1] << PyLong_SHIFT | digits[0]) << 1;
	return CPyTagged_FromObject(object);
}
#else
#define s2fuzz_from_object CPyTagged_FromObject
#endif

#include "lists.h"
#include "dictionaries.h"
#include "names.h"

#undef PyObject_TypeCheck
#define PyObject_TypeCheck(object, type) s2fuzz_type_check((PyObject *)(object), type)
#define CPyTagged_StealAsObject s2fuzz_as_object
#define CPyArg_ParseTupleAndKeywords(arguments, names, format, function, list, ...) \
	(s2fuzz_arguments(arguments, names, format, ##__VA_ARGS__) || \
	 CPyArg_ParseTupleAndKeywords(arguments, names, format, function, list, ##__VA_ARGS__))
#ifdef S2FUZZ_LONGS
#define PyTuple_New s2fuzz_new_tuple
#define PyList_New s2fuzz_new_list
#define CPyTagged_FromObject s2fuzz_from_object
#endif
#define CPyList_GetItem s2fuzz_list_item
#define CPyList_GetItemBorrow s2fuzz_list_item_borrowed
#define CPyList_SetItem s2fuzz_list_set_item
#define PyList_Append s2fuzz_list_append
#define CPyList_PopLast s2fuzz_list_pop_last
#define CPyList_Pop s2fuzz_list_pop
#define CPyList_Clear s2fuzz_list_clear
#define CPyDict_Clear s2fuzz_dict_clear
#define PySet_Clear s2fuzz_set_clear
#define CPyDict_GetItem s2fuzz_dict_item
#define CPyDict_Get s2fuzz_dict_get_or
#define CPyDict_GetWithNone s2fuzz_dict_get
#define CPyDict_SetDefaultWithEmptyDatatype s2fuzz_dict_default
#define CPyStr_EqualLiteral s2fuzz_equals_literal
#define PySequence_Contains s2fuzz_contains
#define PyDict_Size s2fuzz_dict_size
#define PyDict_Contains s2fuzz_dict_contains
#define PySet_Contains s2fuzz_set_contains
#else
#define s2fuzz_dict_find s2fuzz_dict_search
#endif

/* ``pop(key, other)`` of a dictionary; with any compiler. */
static inline PyObject *s2fuzz_dict_pop(PyObject *dict, PyObject *key, PyObject *other)
{
	PyObject *value;
	int found;

	if (!PyDict_CheckExact(dict))
		return PyObject_CallMethod(dict, "pop", "OO", key, other);
	found = PyDict_Size(dict) ? s2fuzz_dict_find(dict, key, &value) : 0;
	if (found < 0)
		return NULL;
	if (!found)
		value = other;
	Py_INCREF(value);
	if (found && PyDict_DelItem(dict, key) < 0)
		Py_CLEAR(value);
	return value;
}
#endif
