"""Tools: the functions that a model may call, and how they are run for it.

`declarations` reads what may be called. When an answer ends in calls, `turn` has `call_tools` run
them all side by side, as commands (`run_command`) or as Python functions (`python_functions`),
makes `results` of what comes back, and sends those, until the model has what it wants.
"""
