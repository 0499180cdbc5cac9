"""The commands, one file each: parse, call one use case, print.

Each module has `command`. Only `cli` imports these modules, when a command is called.
"""
