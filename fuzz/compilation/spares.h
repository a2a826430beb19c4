/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Part of short.h, where it is known what integers, lists and tuples are made of.
 *
 * Integers, and short lists and tuples, that nobody has any more: the next ones are made of them. Lists and tuples stay
 * with the collector, which finds them empty and with a reference.
 */
#ifndef S2FUZZ_SPARES_H
#define S2FUZZ_SPARES_H

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
	/* Other objects may have no size. That of a negative integer is not small here. */
	size_t digits = PyLong_CheckExact(object) ? (size_t)Py_SIZE(object) : 0;

	if (digits - 1 >= 2 || !s2fuzz_keep(&s2fuzz_longs[digits - 1], object))
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
