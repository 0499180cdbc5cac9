"""Tests of gemcli.replay."""
