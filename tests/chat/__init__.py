"""Tests of gemcli.chat."""
