"""Tests of the fault matrix: what breaks at a named point, and what comes of it."""
