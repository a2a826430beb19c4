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
S2FUZZ_ONCE extern struct s2fuzz_spares s2fuzz_longs[2], s2fuzz_tuples[2], s2fuzz_lists;

S2FUZZ_ONCE void s2fuzz_dealloc(PyObject *object);

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
