"""Tests of gemcli.api."""
