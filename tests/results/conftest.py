"""The made-up results that some of these tests read."""

from made_up_results import make_tree, table, tree

__all__ = ["make_tree", "table", "tree"]
