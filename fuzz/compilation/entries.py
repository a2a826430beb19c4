# SPDX-License-Identifier: GPL-2.0-only
"""The extension modules by which Python finds the code of each module, which is all in one library.

mypyc generates a C file for each module, and building these files takes a tenth of the total time. They differ only
in names. Here one C file has the entry points of all modules, and each extension module is a link to its shared
object. Python allows one file to hold several modules.
"""

import os
import shutil
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, Final

from reference.compiled.choice import LIBRARY

# Name prefix of the extension modules that hold the entry points.
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

    :param extensions: the result of ``mypycify()``
    :param folder: receives the C files
    :returns: the extension modules to build, and for each one with entry points its modules by their last names.
        Last names must be unique within one, so there are several
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
    """Create the extension module of each module.

    :param layers: as returned by `combined`
    :param folder: folder with the built extension modules
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
                # Not every file system supports links.
                shutil.copy2(entries, place)
        entries.unlink()
