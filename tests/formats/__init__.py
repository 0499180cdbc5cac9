"""Tests of the formats that a history comes in and goes out in."""
