"""Tests of gemcli.sessions."""
