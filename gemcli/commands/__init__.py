"""One command, one file: click decorators, a thin callback, and the function that does the work.

Each module has `command`. Only `cli` imports them, when they are called.
"""
