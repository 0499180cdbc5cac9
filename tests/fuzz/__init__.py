"""Fuzzing: whatever bytes come in, they are taken or refused in gemcli's own words, and soon."""
