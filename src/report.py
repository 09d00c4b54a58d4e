"""Write a report of runs, one page that opens from disk: `greensweep report`."""

import sys

from greensweep.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["report", *sys.argv[1:]]))
