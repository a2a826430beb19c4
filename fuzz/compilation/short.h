/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The short way through functions of Python and of the runtime library of mypyc, for compiled code: it does itself what
 * such a function does most of the time, and calls it for the rest.
 */
#ifndef S2FUZZ_SHORT_H
#define S2FUZZ_SHORT_H
#include <Python.h>
#include "CPy.h"
#if PY_VERSION_HEX >= 0x030b0000 && PY_VERSION_HEX < 0x030c0000
/* What a dictionary is made of. */
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE
#include "internal/pycore_dict.h"
#undef Py_BUILD_CORE
#else
#include "internal/pycore_dict.h"
#endif
#endif

/* Without the global lock, others change a list or a dictionary at any time: the library takes a lock of its own then. */
#if defined(__GNUC__) && !defined(Py_GIL_DISABLED)
#define S2FUZZ_SHORT static inline __attribute__((always_inline))
/* Elements for which a list keeps its room when it has lost them. */
#define S2FUZZ_FEW 8

/* An object of a derived class. Where no class has two bases, the bases of a base are the last ones of all. */
S2FUZZ_SHORT int s2fuzz_type_check(PyObject *object, PyTypeObject *type)
{
	PyTypeObject *kind = Py_TYPE(object);
	Py_ssize_t derived;

	if (kind == type)
		return 1;
	derived = Py_SIZE(kind->tp_mro) - Py_SIZE(type->tp_mro);
	if (likely(derived > 0 && PyTuple_GET_ITEM(kind->tp_mro, derived) == (PyObject *)type))
		return 1;
	return PyType_IsSubtype(kind, type);
}

/* What these objects are made of. */
#if PY_VERSION_HEX < 0x030c0000 && PYLONG_BITS_IN_DIGIT == 30 && !defined(Py_REF_DEBUG)
#define S2FUZZ_LONGS
#endif

#ifdef S2FUZZ_LONGS
/*
 * Integers, and short lists and tuples, that nobody has any more: the next ones are made of them. Lists and tuples stay
 * with the collector, which finds them empty and with a reference.
 */
#define S2FUZZ_SPARES 64
struct s2fuzz_spares {
	Py_ssize_t count;
	PyObject *objects[S2FUZZ_SPARES];
};
/* By digits and elements. */
__attribute__((weak, visibility("hidden"))) struct s2fuzz_spares s2fuzz_longs[2], s2fuzz_tuples[2], s2fuzz_lists;

S2FUZZ_SHORT int s2fuzz_keep(struct s2fuzz_spares *spares, PyObject *object)
{
	if (unlikely(spares->count == S2FUZZ_SPARES))
		return 0;
	spares->objects[spares->count++] = object;
	return 1;
}

static __attribute__((noinline, unused)) void s2fuzz_drop_long(PyObject *object)
{
	/* Of a negative one this is not small. */
	size_t digits = (size_t)Py_SIZE(object);

	if (!PyLong_CheckExact(object) || digits - 1 >= 2 || !s2fuzz_keep(&s2fuzz_longs[digits - 1], object))
		_Py_Dealloc(object);
}

static __attribute__((noinline, unused)) void s2fuzz_drop_tuple(PyObject *object)
{
	struct s2fuzz_spares *spares = &s2fuzz_tuples[Py_SIZE(object) == 3];

	/* The collector has let go of those in which it has found nothing to collect. */
	if ((Py_SIZE(object) != 2 && Py_SIZE(object) != 3) || spares->count == S2FUZZ_SPARES ||
	    !PyObject_GC_IsTracked(object)) {
		_Py_Dealloc(object);
		return;
	}
	Py_SET_REFCNT(object, 1);
	for (Py_ssize_t at = Py_SIZE(object) - 1; at >= 0; at--) {
		PyObject *item = PyTuple_GET_ITEM(object, at);

		PyTuple_SET_ITEM(object, at, NULL);
		if (item && --item->ob_refcnt == 0)
			s2fuzz_drop_long(item);
	}
	/* What has died meanwhile may have taken the last room. */
	if (!s2fuzz_keep(spares, object))
		Py_DECREF(object);
}

static __attribute__((noinline, unused)) void s2fuzz_drop_list(PyObject *object)
{
	Py_ssize_t size = Py_SIZE(object);

	if (((PyListObject *)object)->allocated > S2FUZZ_FEW || s2fuzz_lists.count == S2FUZZ_SPARES) {
		_Py_Dealloc(object);
		return;
	}
	Py_SET_REFCNT(object, 1);
	Py_SET_SIZE(object, 0);
	while (size--) {
		PyObject *item = PyList_GET_ITEM(object, size);

		if (item && --item->ob_refcnt == 0) {
			if (PyTuple_CheckExact(item))
				s2fuzz_drop_tuple(item);
			else
				s2fuzz_drop_long(item);
		}
	}
	if (!s2fuzz_keep(&s2fuzz_lists, object))
		Py_DECREF(object);
}

static __attribute__((noinline, unused)) void s2fuzz_dealloc(PyObject *object)
{
	if (PyList_CheckExact(object))
		s2fuzz_drop_list(object);
	else if (PyTuple_CheckExact(object))
		s2fuzz_drop_tuple(object);
	else
		s2fuzz_drop_long(object);
}

/* An integer of one digit or two that is none of the small ones. */
static inline PyObject *s2fuzz_new_long(size_t number)
{
	size_t high = number >> PyLong_SHIFT;
	struct s2fuzz_spares *spares = &s2fuzz_longs[high != 0];
	PyObject *object;

	if (spares->count) {
		object = spares->objects[--spares->count];
		Py_SET_REFCNT(object, 1);
	} else {
		object = PyObject_Malloc(offsetof(PyLongObject, ob_digit) + 2 * sizeof(digit));
		if (unlikely(!object))
			CPyError_OutOfMemory();
		Py_SET_TYPE(object, &PyLong_Type);
		Py_SET_SIZE(object, high ? 2 : 1);
		_Py_NewReference(object);
	}
	((PyLongObject *)object)->ob_digit[0] = (digit)(number & PyLong_MASK);
	if (high)
		((PyLongObject *)object)->ob_digit[1] = (digit)high;
	return object;
}

S2FUZZ_SHORT PyObject *s2fuzz_new_tuple(Py_ssize_t size)
{
	if ((size == 2 || size == 3) && s2fuzz_tuples[size - 2].count)
		return s2fuzz_tuples[size - 2].objects[--s2fuzz_tuples[size - 2].count];
	return PyTuple_New(size);
}

S2FUZZ_SHORT PyObject *s2fuzz_new_list(Py_ssize_t size)
{
	if (s2fuzz_lists.count) {
		PyObject *list = s2fuzz_lists.objects[s2fuzz_lists.count - 1];

		if (size <= ((PyListObject *)list)->allocated) {
			for (Py_ssize_t at = 0; at < size; at++)
				PyList_SET_ITEM(list, at, NULL);
			Py_SET_SIZE(list, size);
			s2fuzz_lists.count--;
			return list;
		}
	}
	return PyList_New(size);
}

#undef CPy_DECREF
#define CPy_DECREF(object) s2fuzz_decref((PyObject *)(object))
#undef CPy_XDECREF
#define CPy_XDECREF(object) s2fuzz_xdecref((PyObject *)(object))

S2FUZZ_SHORT void s2fuzz_decref(PyObject *object)
{
	if (--object->ob_refcnt == 0)
		s2fuzz_dealloc(object);
}

S2FUZZ_SHORT void s2fuzz_xdecref(PyObject *object)
{
	if (object)
		s2fuzz_decref(object);
}
#endif

/* The integers of Python that are always the same objects; each from when it is needed first. */
#define S2FUZZ_SMALL 256
__attribute__((weak, visibility("hidden"))) PyObject *s2fuzz_small[S2FUZZ_SMALL + 1];

static inline PyObject *s2fuzz_boxed(CPyTagged number)
{
	int small = number <= S2FUZZ_SMALL << 1 && CPyTagged_CheckShort(number);
	PyObject *object;

#ifdef S2FUZZ_LONGS
	if (!small && CPyTagged_CheckShort(number) && number >> 1 < (size_t)1 << 2 * PyLong_SHIFT)
		return s2fuzz_new_long(number >> 1);
#endif
	object = CPyTagged_StealAsObject(number);
	if (small)
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

S2FUZZ_SHORT bool s2fuzz_list_set_item(PyObject *list, CPyTagged index, PyObject *item)
{
	if (likely(CPyTagged_CheckShort(index) && index >> 1 < (size_t)PyList_GET_SIZE(list))) {
		PyObject *before = PyList_GET_ITEM(list, index >> 1);

		PyList_SET_ITEM(list, index >> 1, item);
		CPy_DECREF(before);
		return true;
	}
	return CPyList_SetItem(list, index, item);
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
		CPy_DECREF(items[size]);
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

#if defined(S2FUZZ_LONGS) && PY_VERSION_HEX >= 0x030b0000
S2FUZZ_SHORT Py_ssize_t s2fuzz_dict_index(const PyDictKeysObject *keys, size_t at)
{
	if (keys->dk_log2_index_bytes == keys->dk_log2_size)
		return ((const int8_t *)keys->dk_indices)[at];
	if (keys->dk_log2_index_bytes == keys->dk_log2_size + 1)
		return ((const int16_t *)keys->dk_indices)[at];
	if (keys->dk_log2_index_bytes == keys->dk_log2_size + 2)
		return ((const int32_t *)keys->dk_indices)[at];
	return ((const int64_t *)keys->dk_indices)[at];
}

/* The entry of an integer of two digits at most, which is its own hash. -1: there is none; -2: it takes the long way. */
static __attribute__((noinline, unused)) Py_ssize_t s2fuzz_dict_entry(PyDictKeysObject *keys, PyObject *key)
{
	const PyDictKeyEntry *entries = DK_ENTRIES(keys);
	size_t mask = DK_SIZE(keys) - 1, hash = s2fuzz_from_object(key) >> 1, at = hash, perturb = hash;

	for (;;) {
		Py_ssize_t number = s2fuzz_dict_index(keys, at & mask);

		if (number == DKIX_EMPTY)
			return -1;
		if (number >= 0 && entries[number].me_hash == (Py_hash_t)hash) {
			PyObject *found = entries[number].me_key;

			if (found == key)
				return number;
			if (!PyLong_CheckExact(found))
				return -2;
			if (Py_SIZE(found) == Py_SIZE(key) && s2fuzz_from_object(found) >> 1 == hash)
				return number;
		}
		perturb >>= 5;
		at = at * 5 + perturb + 1;
	}
}

/* 1: found; 0: it is not there; -1: an error. */
S2FUZZ_SHORT int s2fuzz_dict_find(PyObject *dict, PyObject *key, PyObject **value)
{
	PyDictKeysObject *keys = ((PyDictObject *)dict)->ma_keys;

	if (PyLong_CheckExact(key) && (size_t)Py_SIZE(key) <= 2 && keys->dk_kind == DICT_KEYS_GENERAL) {
		Py_ssize_t number = s2fuzz_dict_entry(keys, key);

		if (likely(number >= -1)) {
			*value = number < 0 ? NULL : DK_ENTRIES(keys)[number].me_value;
			return number >= 0;
		}
	}
	*value = PyDict_GetItemWithError(dict, key);
	return *value ? 1 : PyErr_Occurred() ? -1 : 0;
}

/* The next entry of a dictionary that has some, and no attributes of an object; NULL: there is none. */
S2FUZZ_SHORT PyDictKeyEntry *s2fuzz_dict_next(PyDictKeysObject *keys, CPyTagged *offset)
{
	Py_ssize_t at = CPyTagged_ShortAsSsize_t(*offset);

	while (at < keys->dk_nentries) {
		PyDictKeyEntry *entry = &DK_ENTRIES(keys)[at++];

		if (likely(entry->me_value != NULL)) {
			*offset = (CPyTagged)at << 1;
			return entry;
		}
	}
	return NULL;
}

/* Whether two are integers of two digits at most, and the same number. */
S2FUZZ_SHORT int s2fuzz_same_long(PyObject *one, PyObject *other)
{
	return PyLong_CheckExact(one) && PyLong_CheckExact(other) && Py_SIZE(one) == Py_SIZE(other) &&
	       (size_t)Py_SIZE(one) <= 2 && s2fuzz_from_object(one) == s2fuzz_from_object(other);
}

/* Whether two dictionaries have the same numbers by the same numbers, put in in the same order. 0: it is not known. */
static __attribute__((noinline, unused)) int s2fuzz_same_dict(PyDictObject *one, PyDictObject *other)
{
	PyDictKeysObject *left = one->ma_keys, *right = other->ma_keys;
	CPyTagged at = 0, there = 0;

	if (one->ma_used != other->ma_used || left->dk_kind != DICT_KEYS_GENERAL || right->dk_kind != DICT_KEYS_GENERAL)
		return 0;
	for (Py_ssize_t rest = one->ma_used; rest > 0; rest--) {
		PyDictKeyEntry *mine = s2fuzz_dict_next(left, &at), *theirs = s2fuzz_dict_next(right, &there);

		if (!mine || !theirs || !s2fuzz_same_long(mine->me_key, theirs->me_key) ||
		    !s2fuzz_same_long(mine->me_value, theirs->me_value))
			return 0;
	}
	return 1;
}

S2FUZZ_SHORT PyObject *s2fuzz_compare(PyObject *one, PyObject *other, int op)
{
	if ((op == Py_EQ || op == Py_NE) && PyDict_CheckExact(one) && PyDict_CheckExact(other) &&
	    s2fuzz_same_dict((PyDictObject *)one, (PyDictObject *)other))
		return PyBool_FromLong(op == Py_EQ);
	return PyObject_RichCompare(one, other, op);
}

S2FUZZ_SHORT int s2fuzz_dict_is_general(PyObject *dict)
{
	return PyDict_CheckExact(dict) && ((PyDictObject *)dict)->ma_keys->dk_kind == DICT_KEYS_GENERAL;
}

static __attribute__((noinline, unused)) tuple_T3CIO s2fuzz_dict_next_key(PyObject *dict, CPyTagged offset)
{
	PyDictKeyEntry *entry;
	tuple_T3CIO next;

	if (!s2fuzz_dict_is_general(dict))
		return CPyDict_NextKey(dict, offset);
	entry = s2fuzz_dict_next(((PyDictObject *)dict)->ma_keys, &offset);
	next.f0 = entry != NULL;
	next.f1 = offset;
	next.f2 = entry ? entry->me_key : Py_None;
	Py_INCREF(next.f2);
	return next;
}

static __attribute__((noinline, unused)) tuple_T3CIO s2fuzz_dict_next_value(PyObject *dict, CPyTagged offset)
{
	PyDictKeyEntry *entry;
	tuple_T3CIO next;

	if (!s2fuzz_dict_is_general(dict))
		return CPyDict_NextValue(dict, offset);
	entry = s2fuzz_dict_next(((PyDictObject *)dict)->ma_keys, &offset);
	next.f0 = entry != NULL;
	next.f1 = offset;
	next.f2 = entry ? entry->me_value : Py_None;
	Py_INCREF(next.f2);
	return next;
}

static __attribute__((noinline, unused)) tuple_T4CIOO s2fuzz_dict_next_item(PyObject *dict, CPyTagged offset)
{
	PyDictKeyEntry *entry;
	tuple_T4CIOO next;

	if (!s2fuzz_dict_is_general(dict))
		return CPyDict_NextItem(dict, offset);
	entry = s2fuzz_dict_next(((PyDictObject *)dict)->ma_keys, &offset);
	next.f0 = entry != NULL;
	next.f1 = offset;
	next.f2 = entry ? entry->me_key : Py_None;
	next.f3 = entry ? entry->me_value : Py_None;
	Py_INCREF(next.f2);
	Py_INCREF(next.f3);
	return next;
}
#define PyObject_RichCompare s2fuzz_compare
#define CPyDict_NextKey s2fuzz_dict_next_key
#define CPyDict_NextValue s2fuzz_dict_next_value
#define CPyDict_NextItem s2fuzz_dict_next_item
#else
S2FUZZ_SHORT int s2fuzz_dict_find(PyObject *dict, PyObject *key, PyObject **value)
{
	*value = PyDict_GetItemWithError(dict, key);
	return *value ? 1 : PyErr_Occurred() ? -1 : 0;
}
#endif

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

/* ``get(key, other)``; a look-up in what is empty: the keys of compiled code have a hash, or mypy objects. */
S2FUZZ_SHORT PyObject *s2fuzz_dict_get_or(PyObject *dict, PyObject *key, PyObject *other)
{
	PyObject *value = NULL;

	if (((PyDictObject *)dict)->ma_used && unlikely(s2fuzz_dict_find(dict, key, &value) < 0))
		return NULL;
	value = value ? value : other;
	Py_INCREF(value);
	return value;
}

S2FUZZ_SHORT PyObject *s2fuzz_dict_get(PyObject *dict, PyObject *key)
{
	return s2fuzz_dict_get_or(dict, key, Py_None);
}

/* A dictionary of a derived class may make what is not there. */
S2FUZZ_SHORT PyObject *s2fuzz_dict_item(PyObject *dict, PyObject *key)
{
	PyObject *value;

	if (PyDict_CheckExact(dict) && s2fuzz_dict_find(dict, key, &value) > 0) {
		Py_INCREF(value);
		return value;
	}
	return CPyDict_GetItem(dict, key);
}

/* ``setdefault(key, [])``, or with an empty dictionary or set: the library raises KeyError where there is none. */
static inline PyObject *s2fuzz_dict_default(PyObject *dict, PyObject *key, int kind)
{
	PyObject *value;
	int found;

	if (unlikely(!PyDict_CheckExact(dict)))
		return CPyDict_SetDefaultWithEmptyDatatype(dict, key, kind);
	found = s2fuzz_dict_find(dict, key, &value);
	if (found > 0)
		Py_INCREF(value);
	if (found)
		return value;
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
	PyObject *value;

	return ((PyDictObject *)dict)->ma_used ? s2fuzz_dict_find(dict, key, &value) : 0;
}

S2FUZZ_SHORT int s2fuzz_set_contains(PyObject *set, PyObject *key)
{
	return PyAnySet_CheckExact(set) && !PySet_GET_SIZE(set) ? 0 : PySet_Contains(set, key);
}

#undef PyObject_TypeCheck
#define PyObject_TypeCheck(object, type) s2fuzz_type_check((PyObject *)(object), type)
#define CPyTagged_StealAsObject s2fuzz_as_object
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
static inline int s2fuzz_dict_find(PyObject *dict, PyObject *key, PyObject **value)
{
	*value = PyDict_GetItemWithError(dict, key);
	return *value ? 1 : PyErr_Occurred() ? -1 : 0;
}
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
