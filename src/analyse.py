"""Answer a question from a table of runs: `greensweep analyse`."""

import sys

from greensweep.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["analyse", *sys.argv[1:]]))
