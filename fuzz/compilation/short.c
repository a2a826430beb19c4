// SPDX-License-Identifier: GPL-2.0-only
/*
 * The functions of short.h that are too long to stand where they are called: all modules share them.
 */
#include "short.h"

#ifdef S2FUZZ_SHORT
#undef CPyDict_NextKey
#undef CPyDict_NextValue
#undef CPyDict_NextItem
#undef CPyTagged_StealAsObject

PyObject *s2fuzz_small[S2FUZZ_SMALL + 1];

/* Format: O for each argument. After | they are optional, after $ by name, after @ both by name and required; % is *args. */
int s2fuzz_arguments(PyObject *arguments, PyObject *names, const char *format, ...)
{
	Py_ssize_t left = PyTuple_GET_SIZE(arguments);
	PyObject **item = &PyTuple_GET_ITEM(arguments, 0);
	va_list into;

	if (names)
		return 0;
	va_start(into, format);
	for (; left; left--) {
		format += *format == '|';
		if (*format++ != 'O')
			break;
		*va_arg(into, PyObject **) = *item++;
	}
	va_end(into);
	return !left && (!*format || (*format != 'O' && *format != '%' && !strchr(format, '@')));
}

#ifdef S2FUZZ_LONGS
struct s2fuzz_spares s2fuzz_longs[2], s2fuzz_tuples[2], s2fuzz_lists;

static inline int s2fuzz_keep(struct s2fuzz_spares *spares, PyObject *object)
{
	if (unlikely(spares->count == S2FUZZ_SPARES))
		return 0;
	spares->objects[spares->count++] = object;
	return 1;
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

static void s2fuzz_drop_long(PyObject *object)
{
	/* Other objects may have no size. That of a negative integer is not small here. */
	size_t digits = PyLong_CheckExact(object) ? (size_t)Py_SIZE(object) : 0;

	if (digits - 1 >= 2 || !s2fuzz_keep(&s2fuzz_longs[digits - 1], object))
		_Py_Dealloc(object);
}

static void s2fuzz_drop_tuple(PyObject *object)
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

static void s2fuzz_drop_list(PyObject *object)
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

void s2fuzz_dealloc(PyObject *object)
{
	if (PyList_CheckExact(object))
		s2fuzz_drop_list(object);
	else if (PyTuple_CheckExact(object))
		s2fuzz_drop_tuple(object);
	else
		s2fuzz_drop_long(object);
}

static inline Py_ssize_t s2fuzz_dict_index(const PyDictKeysObject *keys, size_t at)
{
	if (keys->dk_log2_index_bytes == keys->dk_log2_size)
		return ((const int8_t *)keys->dk_indices)[at];
	if (keys->dk_log2_index_bytes == keys->dk_log2_size + 1)
		return ((const int16_t *)keys->dk_indices)[at];
	if (keys->dk_log2_index_bytes == keys->dk_log2_size + 2)
		return ((const int32_t *)keys->dk_indices)[at];
	return ((const int64_t *)keys->dk_indices)[at];
}

/* An integer of two digits at most, which is its own hash. */
static inline int s2fuzz_is_short(PyObject *number)
{
	return PyLong_CheckExact(number) && (size_t)Py_SIZE(number) <= 2;
}

/* As s2fuzz_from_object() for such an integer alone: with that in its place, programs take 0.3 % more instructions. */
static inline size_t s2fuzz_value(PyObject *number)
{
	const digit *digits = ((PyLongObject *)number)->ob_digit;

	if (Py_SIZE(number) == 1)
		return digits[0];
	return Py_SIZE(number) ? (size_t)digits[1] << PyLong_SHIFT | digits[0] : 0;
}

static __attribute__((noinline)) Py_ssize_t s2fuzz_dict_probe(PyDictKeysObject *keys, PyObject *key, size_t hash)
{
	const PyDictKeyEntry *entries = DK_ENTRIES(keys);
	size_t mask = DK_SIZE(keys) - 1, at = hash, perturb = hash;

	for (;;) {
		Py_ssize_t number = s2fuzz_dict_index(keys, at & mask);

		if (number == DKIX_EMPTY)
			return -1;
		if (number >= 0 && entries[number].me_hash == (Py_hash_t)hash) {
			PyObject *found = entries[number].me_key;

			return found == key || s2fuzz_is_short(found) ? number : -2;
		}
		perturb >>= 5;
		at = at * 5 + perturb + 1;
	}
}

/* Most dictionaries are small, and most numbers are where they are looked for first. */
Py_ssize_t s2fuzz_dict_entry(PyDictKeysObject *keys, PyObject *key)
{
	size_t hash = s2fuzz_value(key), size = (size_t)1 << keys->dk_log2_size;

	if (likely(keys->dk_log2_index_bytes == keys->dk_log2_size)) {
		const int8_t *numbers = (const int8_t *)keys->dk_indices;
		Py_ssize_t number = numbers[hash & (size - 1)];

		if (number == DKIX_EMPTY)
			return -1;
		if (number >= 0) {
			const PyDictKeyEntry *entry = (const PyDictKeyEntry *)(numbers + size) + number;

			if (entry->me_key == key || (entry->me_hash == (Py_hash_t)hash && s2fuzz_is_short(entry->me_key)))
				return number;
		}
	}
	return s2fuzz_dict_probe(keys, key, hash);
}

/* The next entry of a dictionary that has some, and no attributes of an object; NULL: there is none. */
static inline PyDictKeyEntry *s2fuzz_dict_next(PyDictKeysObject *keys, CPyTagged *offset)
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
static inline int s2fuzz_same_long(PyObject *one, PyObject *other)
{
	return s2fuzz_is_short(one) && s2fuzz_is_short(other) && s2fuzz_value(one) == s2fuzz_value(other);
}

int s2fuzz_same_dict(PyDictObject *one, PyDictObject *other)
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

static inline int s2fuzz_dict_is_general(PyObject *dict)
{
	return PyDict_CheckExact(dict) && ((PyDictObject *)dict)->ma_keys->dk_kind == DICT_KEYS_GENERAL;
}

/* Of the next entry a key or a value, and the offset behind it. */
static inline tuple_T3CIO s2fuzz_dict_next_part(PyObject *dict, CPyTagged offset, int value)
{
	PyDictKeyEntry *entry = s2fuzz_dict_next(((PyDictObject *)dict)->ma_keys, &offset);
	tuple_T3CIO next;

	next.f0 = entry != NULL;
	next.f1 = offset;
	next.f2 = !entry ? Py_None : value ? entry->me_value : entry->me_key;
	Py_INCREF(next.f2);
	return next;
}

tuple_T3CIO s2fuzz_dict_next_key(PyObject *dict, CPyTagged offset)
{
	return s2fuzz_dict_is_general(dict) ? s2fuzz_dict_next_part(dict, offset, 0) : CPyDict_NextKey(dict, offset);
}

tuple_T3CIO s2fuzz_dict_next_value(PyObject *dict, CPyTagged offset)
{
	return s2fuzz_dict_is_general(dict) ? s2fuzz_dict_next_part(dict, offset, 1) : CPyDict_NextValue(dict, offset);
}

tuple_T4CIOO s2fuzz_dict_next_item(PyObject *dict, CPyTagged offset)
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
#endif

PyObject *s2fuzz_boxed(CPyTagged number)
{
	PyObject *object;

#ifdef S2FUZZ_LONGS
	if (likely(CPyTagged_CheckShort(number) && number >> 1 < (size_t)1 << 2 * PyLong_SHIFT && number > S2FUZZ_SMALL << 1))
		return s2fuzz_new_long(number >> 1);
#endif
	object = CPyTagged_StealAsObject(number);
	if (CPyTagged_CheckShort(number) && number <= S2FUZZ_SMALL << 1)
		s2fuzz_small[number >> 1] = object;
	return object;
}
#endif
