"""Tests of gemcli.terminal."""
