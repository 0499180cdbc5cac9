"""Tests of gemcli.text."""
