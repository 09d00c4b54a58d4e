"""Fetch or verify a data set and write the manifest of its splits: `greensweep prepare`."""

import sys

from greensweep.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["prepare", *sys.argv[1:]]))
