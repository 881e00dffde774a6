"""Fuzz what reads event files, or what answers requests, for some time; see docs/reliability.md.

    make fuzz FUZZ_TARGET=events FUZZ_SECONDS=3600

Ends with an error at the first input that does what must not happen; that input is then in build/fuzz/<target>/.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

with atheris.instrument_imports(include=["tensorboard_plugin.actviz"]):
    import targets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=targets.TARGETS)
    parser.add_argument("seconds", type=int)
    given = parser.parse_args()
    corpus = ROOT / "build" / "fuzz" / given.target
    corpus.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={given.seconds}",
        "-timeout=60",
        "-max_len=4096",
        "-len_control=0",
        "-rss_limit_mb=2048",
        f"-artifact_prefix={corpus}/",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], targets.TARGETS[given.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
