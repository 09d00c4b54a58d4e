"""Test a kept model: `greensweep evaluate`."""

import sys

from greensweep.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
