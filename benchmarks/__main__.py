"""``python -m benchmarks``: all benchmarks."""

from .end_to_end import main

main()
