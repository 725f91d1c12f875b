"""What does fitting a mixture cost?

    python benchmarks/cost.py [--only copies pools settings memory] [--sets NAME ...]
    python benchmarks/cost.py --only copies --csv before.csv         # with one version,
    python benchmarks/cost.py --only copies --against before.csv     # and with the next

- ``copies``: a default fit of copies of one estimator, in multiples of one model of the same total
  size, with the losses of both and the number of warnings (``_cost_copies.py``);
- ``pools``: different experts beside stacking the same (``_cost_pools.py``);
- ``settings``: what parameters make of time and loss (``_cost_settings.py``);
- ``memory``: the peak of a fit of linear experts, in multiples of X (``_cost_memory.py``).

Seconds are the processor's, of one thread: other work on the machine changes them less than those
of the clock.
"""

import argparse
from pathlib import Path

import _cost_copies
import _cost_memory
import _cost_pools
import _cost_settings
from _data import DATA
from threadpoolctl import threadpool_limits

PARTS = ("copies", "pools", "settings", "memory")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with datasets.json")
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="(a few of each task)")
    parser.add_argument("--rows", type=int, default=1500, help="most training rows")
    parser.add_argument("--repeats", type=int, default=3, help="fits of a pool, of which the best")
    parser.add_argument(
        "--kinds", nargs="+", choices=list(_cost_copies.KINDS), default=list(_cost_copies.KINDS)
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    parser.add_argument("--csv", type=Path, help="where to add what copies cost")
    parser.add_argument("--against", type=Path, help="what they cost before: a file of --csv")
    parser.add_argument("--memory-rows", type=int, default=200_000)
    options = parser.parse_args()
    threadpool_limits(1)
    if "copies" in options.only:
        table = _cost_copies.measure(options)
        _cost_copies.report(table, options.against)
    if "pools" in options.only:
        _cost_pools.report(options.data, options.sets, options.rows, options.repeats)
    if "settings" in options.only:
        _cost_settings.report(options.data, options.sets, options.rows, options.seed)
    if "memory" in options.only:
        _cost_memory.report(options.memory_rows)


if __name__ == "__main__":
    main()
