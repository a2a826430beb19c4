// SPDX-License-Identifier: GPL-2.0-only
/*
 * Integer multiplication for the runtime library of mypyc.
 *
 * The library takes every multiplication of integers that fails for a lack of memory, and aborts the process. But
 * CPython runs signal handlers while it multiplies integers of more than one digit (30 bits), and the handler of
 * Ctrl-C raises KeyboardInterrupt there. Here such an exception waits until the interpreter runs Python code again.
 *
 * fuzz/compilation/runtime.py has the library call this function in place of PyNumber_Multiply().
 */
#undef PyNumber_Multiply
#include <Python.h>

PyObject *s2fuzz_multiply(PyObject *left, PyObject *right);

PyObject *s2fuzz_multiply(PyObject *left, PyObject *right)
{
	PyObject *product = PyNumber_Multiply(left, right);

	if (!PyLong_CheckExact(left) || !PyLong_CheckExact(right))
		return product;
	while (!product && !PyErr_ExceptionMatches(PyExc_MemoryError)) {
		PyObject *type, *value, *traceback;

		PyErr_Fetch(&type, &value, &traceback);
		PyThreadState_SetAsyncExc(PyThread_get_thread_ident(), type);
		Py_XDECREF(type);
		Py_XDECREF(value);
		Py_XDECREF(traceback);
		product = PyNumber_Multiply(left, right);
	}
	return product;
}
