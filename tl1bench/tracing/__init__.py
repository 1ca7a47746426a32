"""A network as a graph of calls: what flows through it, which of it is used, how it is written."""
