"""The made-up results that these tests measure."""

from made_up_results import table, tree

__all__ = ["table", "tree"]
