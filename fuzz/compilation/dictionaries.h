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
/* The entry of an integer of two digits at most, which is its own hash. -1: there is none; -2: it takes the long way. */
S2FUZZ_ONCE Py_ssize_t s2fuzz_dict_entry(PyDictKeysObject *keys, PyObject *key);

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

/* Whether two dictionaries have the same numbers by the same numbers, put in in the same order. 0: it is not known. */
S2FUZZ_ONCE int s2fuzz_same_dict(PyDictObject *one, PyDictObject *other);

S2FUZZ_SHORT PyObject *s2fuzz_compare(PyObject *one, PyObject *other, int op)
{
	if ((op == Py_EQ || op == Py_NE) && PyDict_CheckExact(one) && PyDict_CheckExact(other) &&
	    s2fuzz_same_dict((PyDictObject *)one, (PyDictObject *)other))
		return PyBool_FromLong(op == Py_EQ);
	return PyObject_RichCompare(one, other, op);
}

S2FUZZ_ONCE tuple_T3CIO s2fuzz_dict_next_key(PyObject *dict, CPyTagged offset);
S2FUZZ_ONCE tuple_T3CIO s2fuzz_dict_next_value(PyObject *dict, CPyTagged offset);
S2FUZZ_ONCE tuple_T4CIOO s2fuzz_dict_next_item(PyObject *dict, CPyTagged offset);

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
