"""Benchmarks: the floor and Kvitta, measured side by side in the same run. See docs/performance.md."""
