"""Tests of the commands: each option, with what a user expects of it."""
