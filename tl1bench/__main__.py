"""`python -m tl1bench` is the `tl1bench` command."""

from tl1bench.cli import main

main()
