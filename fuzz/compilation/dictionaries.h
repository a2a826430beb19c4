/* SPDX-License-Identifier: GPL-2.0-only */
/* Part of short.h: dictionaries and sets. */
#ifndef S2FUZZ_DICTIONARIES_H
#define S2FUZZ_DICTIONARIES_H

/* What is empty already. */
S2FUZZ_SHORT char s2fuzz_dict_clear(PyObject *dict)
{
	return PyDict_CheckExact(dict) && !((PyDictObject *)dict)->ma_used ? 1 : CPyDict_Clear(dict);
}

S2FUZZ_SHORT int s2fuzz_set_clear(PyObject *set)
{
	return PySet_CheckExact(set) && !PySet_GET_SIZE(set) ? 0 : PySet_Clear(set);
}

#ifdef S2FUZZ_LONGS
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

/* As s2fuzz_dict_search(). */
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
	return s2fuzz_dict_search(dict, key, value);
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

/* Of the next entry a key or a value, and the offset behind it. */
S2FUZZ_SHORT tuple_T3CIO s2fuzz_dict_next_part(PyObject *dict, CPyTagged offset, int value)
{
	PyDictKeyEntry *entry = s2fuzz_dict_next(((PyDictObject *)dict)->ma_keys, &offset);
	tuple_T3CIO next;

	next.f0 = entry != NULL;
	next.f1 = offset;
	next.f2 = !entry ? Py_None : value ? entry->me_value : entry->me_key;
	Py_INCREF(next.f2);
	return next;
}

static __attribute__((noinline, unused)) tuple_T3CIO s2fuzz_dict_next_key(PyObject *dict, CPyTagged offset)
{
	return s2fuzz_dict_is_general(dict) ? s2fuzz_dict_next_part(dict, offset, 0) : CPyDict_NextKey(dict, offset);
}

static __attribute__((noinline, unused)) tuple_T3CIO s2fuzz_dict_next_value(PyObject *dict, CPyTagged offset)
{
	return s2fuzz_dict_is_general(dict) ? s2fuzz_dict_next_part(dict, offset, 1) : CPyDict_NextValue(dict, offset);
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
#define s2fuzz_dict_find s2fuzz_dict_search
#endif

/* ``get(key, other)``; a look-up in what is empty finds nothing, whatever the key is: mypy knows that it has a hash. */
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
	PyObject *value = NULL;
	int found = PyDict_CheckExact(dict) ? s2fuzz_dict_find(dict, key, &value) : 0;

	if (unlikely(found < 0))
		return NULL;
	if (likely(found)) {
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

#endif
