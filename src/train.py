"""Train one model, or with -m sweep over many: `greensweep train`."""

import sys

from greensweep.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
