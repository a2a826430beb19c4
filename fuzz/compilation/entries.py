# SPDX-License-Identifier: GPL-2.0-only
"""The extension modules by which Python finds the code of each module, which is all in one library.

mypyc makes a C file for each, and building them takes a tenth of the whole. They differ by names only. Here one
C file has the entry points of all, and each extension module is a link to what is made of it. Python allows that
one file holds several modules.
"""

import os
import shutil
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, Final

from reference.compiled.choice import LIBRARY

# Of the extension modules that hold the entry points.
NAME: Final = "s2fuzz_entries"
_START: Final = f"""\
#include <Python.h>

/* Makes a module by the function that the library has in a capsule. */
static PyObject *make(const char *name, const char *capsule_name)
{{
	PyObject *from = Py_BuildValue("(s)", "*"), *library, *capsule;
	PyObject *(*init)(void);

	if (!from)
		return NULL;
	library = PyImport_ImportModuleLevel("{LIBRARY}", NULL, NULL, from, 0);
	Py_DECREF(from);
	if (!library)
		return NULL;
	capsule = PyObject_GetAttrString(library, name);
	Py_DECREF(library);
	if (!capsule)
		return NULL;
	init = (PyObject *(*)(void))PyCapsule_GetPointer(capsule, capsule_name);
	Py_DECREF(capsule);
	return init ? init() : NULL;
}}
"""


def combined(extensions: list[Any], folder: Path) -> tuple[list[Any], list[dict[str, str]]]:
    """Replace the extension modules of single modules.

    :param extensions: what ``mypycify()`` has made
    :param folder: gets the C files
    :returns: the extension modules to build, and the modules of each that has entry points, by their last names:
        it can have one module of a last name, so there are several
    """
    from mypyc.namegen import exported_name
    from setuptools import Extension

    layers: list[dict[str, str]] = []
    for extension in extensions:
        if extension.name == LIBRARY:
            continue
        last = extension.name.rpartition(".")[2]
        layer = next((each for each in layers if last not in each), None)
        if layer is None:
            layer = {}
            layers.append(layer)
        layer[last] = extension.name
    built = [extension for extension in extensions if extension.name == LIBRARY]
    folder.mkdir(parents=True, exist_ok=True)
    for number, layer in enumerate(layers):
        source = folder / f"{NAME}{number}.c"
        text = _START
        for last, name in layer.items():
            init = f"init_{exported_name(name)}"
            text += f'\nPyMODINIT_FUNC PyInit_{last}(void)\n{{\n\treturn make("{init}", "{LIBRARY}.{init}");\n}}\n'
        source.write_text(text)
        built.append(Extension(f"{NAME}{number}", [str(source)]))
    return built, layers


def link(layers: list[dict[str, str]], folder: Path) -> None:
    """Give each module its extension module.

    :param layers: as `combined` returns it
    :param folder: where the extension modules were made
    """
    suffix = EXTENSION_SUFFIXES[0]
    for number, layer in enumerate(layers):
        entries = folder / f"{NAME}{number}{suffix}"
        for name in layer.values():
            place = folder / f"{name.replace('.', '/')}{suffix}"
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(entries, place)
            except OSError:
                # Not every file system has links.
                shutil.copy2(entries, place)
        entries.unlink()
