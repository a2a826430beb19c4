/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The short way through functions of Python and of the runtime library of mypyc, for compiled code: it does itself what
 * such a function does most of the time, and calls it for the rest.
 */
#ifndef S2FUZZ_SHORT_H
#define S2FUZZ_SHORT_H
#include <Python.h>
#include "CPy.h"

/* Without the global lock, others change a list or a dictionary at any time: the library takes a lock of its own then. */
#if defined(__GNUC__) && !defined(Py_GIL_DISABLED)
#define S2FUZZ_SHORT static inline __attribute__((always_inline))
/* Elements for which a list keeps its room when it has lost them. */
#define S2FUZZ_FEW 8

/* An object of a derived class: nearly always one whose bases are the first ones all the way. */
S2FUZZ_SHORT int s2fuzz_type_check(PyObject *object, PyTypeObject *type)
{
	PyTypeObject *kind = Py_TYPE(object);

	if (kind == type)
		return 1;
	for (PyTypeObject *base = kind->tp_base; base; base = base->tp_base)
		if (base == type)
			return 1;
	return PyType_IsSubtype(kind, type);
}

/* The integers of Python that are always the same objects; each from when it is needed first. */
#define S2FUZZ_SMALL 256
__attribute__((weak, visibility("hidden"))) PyObject *s2fuzz_small[S2FUZZ_SMALL + 1];

static inline PyObject *s2fuzz_boxed(CPyTagged number)
{
	PyObject *object = CPyTagged_StealAsObject(number);

	if (number <= S2FUZZ_SMALL << 1 && CPyTagged_CheckShort(number))
		s2fuzz_small[number >> 1] = object;
	return object;
}

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

#if PY_VERSION_HEX < 0x030c0000 && PYLONG_BITS_IN_DIGIT == 30
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

/* An element of a list by an index from the front. */
S2FUZZ_SHORT PyObject *s2fuzz_list_item_borrowed(PyObject *list, CPyTagged index)
{
	if (likely(CPyTagged_CheckShort(index) && index >> 1 < (size_t)PyList_GET_SIZE(list)))
		return PyList_GET_ITEM(list, index >> 1);
	return CPyList_GetItemBorrow(list, index);
}

S2FUZZ_SHORT PyObject *s2fuzz_list_item(PyObject *list, CPyTagged index)
{
	if (likely(CPyTagged_CheckShort(index) && index >> 1 < (size_t)PyList_GET_SIZE(list))) {
		PyObject *item = PyList_GET_ITEM(list, index >> 1);

		Py_INCREF(item);
		return item;
	}
	return CPyList_GetItem(list, index);
}

/* A list that has room: nothing moves. */
S2FUZZ_SHORT int s2fuzz_list_append(PyObject *list, PyObject *item)
{
	Py_ssize_t size = PyList_GET_SIZE(list);

	if (unlikely(size >= ((PyListObject *)list)->allocated))
		return PyList_Append(list, item);
	Py_INCREF(item);
	PyList_SET_ITEM(list, size, item);
	Py_SET_SIZE(list, size + 1);
	return 0;
}

/* The last one; a list that is a stack keeps its room, for the next one. */
S2FUZZ_SHORT PyObject *s2fuzz_list_pop_last(PyObject *list)
{
	Py_ssize_t last = PyList_GET_SIZE(list) - 1;

	if (unlikely(last < 0 || last >= S2FUZZ_FEW))
		return CPyList_PopLast(list);
	Py_SET_SIZE(list, last);
	return PyList_GET_ITEM(list, last);
}

S2FUZZ_SHORT PyObject *s2fuzz_list_pop(PyObject *list, CPyTagged index)
{
	if (CPyTagged_CheckShort(index) && CPyTagged_ShortAsSsize_t(index) == PyList_GET_SIZE(list) - 1)
		return s2fuzz_list_pop_last(list);
	return CPyList_Pop(list, index);
}

/* A few, or none: the list keeps its room. Those that die may use the list. */
static inline void s2fuzz_list_drop_few(PyObject *list, Py_ssize_t size)
{
	PyObject *items[S2FUZZ_FEW];

	memcpy(items, ((PyListObject *)list)->ob_item, size * sizeof(*items));
	Py_SET_SIZE(list, 0);
	while (size--)
		Py_DECREF(items[size]);
}

S2FUZZ_SHORT char s2fuzz_list_clear(PyObject *list)
{
	Py_ssize_t size = PyList_GET_SIZE(list);

	if (unlikely(size > S2FUZZ_FEW || !PyList_CheckExact(list)))
		return CPyList_Clear(list);
	if (size)
		s2fuzz_list_drop_few(list, size);
	return 1;
}

/* What is empty already. */
S2FUZZ_SHORT char s2fuzz_dict_clear(PyObject *dict)
{
	return PyDict_CheckExact(dict) && !((PyDictObject *)dict)->ma_used ? 1 : CPyDict_Clear(dict);
}

S2FUZZ_SHORT int s2fuzz_set_clear(PyObject *set)
{
	return PySet_CheckExact(set) && !PySet_GET_SIZE(set) ? 0 : PySet_Clear(set);
}

/* A look-up in what is empty: the keys of compiled code have a hash, or mypy objects. */
S2FUZZ_SHORT PyObject *s2fuzz_dict_get(PyObject *dict, PyObject *key)
{
	PyObject *value = ((PyDictObject *)dict)->ma_used ? PyDict_GetItemWithError(dict, key) : NULL;

	if (!value) {
		if (unlikely(((PyDictObject *)dict)->ma_used && PyErr_Occurred()))
			return NULL;
		value = Py_None;
	}
	Py_INCREF(value);
	return value;
}

/* ``setdefault(key, [])``, or with an empty dictionary or set: the library raises KeyError where there is none. */
static inline PyObject *s2fuzz_dict_default(PyObject *dict, PyObject *key, int kind)
{
	PyObject *value;

	if (unlikely(!PyDict_CheckExact(dict)))
		return CPyDict_SetDefaultWithEmptyDatatype(dict, key, kind);
	value = PyDict_GetItemWithError(dict, key);
	if (value) {
		Py_INCREF(value);
		return value;
	}
	if (unlikely(PyErr_Occurred() != NULL))
		return NULL;
	value = kind == 1 ? PyList_New(0) : kind == 2 ? PyDict_New() : PySet_New(NULL);
	if (value && PyDict_SetItem(dict, key, value) < 0)
		Py_CLEAR(value);
	return value;
}

S2FUZZ_SHORT Py_ssize_t s2fuzz_dict_size(PyObject *dict)
{
	return ((PyDictObject *)dict)->ma_used;
}

S2FUZZ_SHORT int s2fuzz_dict_contains(PyObject *dict, PyObject *key)
{
	return ((PyDictObject *)dict)->ma_used ? PyDict_Contains(dict, key) : 0;
}

S2FUZZ_SHORT int s2fuzz_set_contains(PyObject *set, PyObject *key)
{
	return PyAnySet_CheckExact(set) && !PySet_GET_SIZE(set) ? 0 : PySet_Contains(set, key);
}

#undef PyObject_TypeCheck
#define PyObject_TypeCheck(object, type) s2fuzz_type_check((PyObject *)(object), type)
#define CPyTagged_StealAsObject s2fuzz_as_object
#if PY_VERSION_HEX < 0x030c0000 && PYLONG_BITS_IN_DIGIT == 30
#define CPyTagged_FromObject s2fuzz_from_object
#endif
#define CPyList_GetItem s2fuzz_list_item
#define CPyList_GetItemBorrow s2fuzz_list_item_borrowed
#define PyList_Append s2fuzz_list_append
#define CPyList_PopLast s2fuzz_list_pop_last
#define CPyList_Pop s2fuzz_list_pop
#define CPyList_Clear s2fuzz_list_clear
#define CPyDict_Clear s2fuzz_dict_clear
#define PySet_Clear s2fuzz_set_clear
#define CPyDict_GetWithNone s2fuzz_dict_get
#define CPyDict_SetDefaultWithEmptyDatatype s2fuzz_dict_default
#define PyDict_Size s2fuzz_dict_size
#define PyDict_Contains s2fuzz_dict_contains
#define PySet_Contains s2fuzz_set_contains
#endif
#endif
