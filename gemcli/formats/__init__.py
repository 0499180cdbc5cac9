"""Formats that a history comes in and goes out in. They know contents and turns, not sessions.

`dump(history, header)` of each gives text, or a JSON value.
"""
