"""Tests of gemcli; they mirror the package."""
