# SPDX-License-Identifier: GPL-2.0-only
"""The commands of ``s2fuzz``: a module each, with its arguments and its action.

A module declares its `COMMAND`; `fuzz.command_line.registry` finds it. Arguments are made before it is known that the
packages are ours, and for every ``--help``: a module imports at its top only what that takes, its action the rest.
"""
