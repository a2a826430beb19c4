/* SPDX-License-Identifier: GPL-2.0-only */
/* Part of short.h: lists. */
#ifndef S2FUZZ_LISTS_H
#define S2FUZZ_LISTS_H

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

#endif
