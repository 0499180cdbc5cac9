"""Tests of gemcli.tools."""
