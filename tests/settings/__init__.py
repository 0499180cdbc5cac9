"""Tests of gemcli.settings."""
