# SPDX-License-Identifier: GPL-2.0-only
"""The commands of ``s2fuzz``: one module each, with its arguments and its action.

A module declares its `COMMAND`; `fuzz.command_line.registry` finds it. Arguments are created before the packages are
checked, and for every ``--help``. So a module imports at its top only what its arguments need; its action imports the
rest.
"""
