"""Predict by a kept model: `greensweep predict`."""

import sys

from greensweep.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
