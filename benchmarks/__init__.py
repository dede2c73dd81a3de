"""The measurements of docs/performance.md: `python -m benchmarks` prints them as JSON."""
