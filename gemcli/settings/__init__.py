"""The settings of a generation: which there are, and how they are read."""
