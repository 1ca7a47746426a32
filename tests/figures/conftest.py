"""The made-up results that these tests draw and print."""

from made_up_results import every, make_tree, table, tree

__all__ = ["every", "make_tree", "table", "tree"]
