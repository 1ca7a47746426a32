"""A network as a graph of calls: what flows through it, which of it is used, how it is written.

A model becomes a graph (`capture`, `reading`, `graph`). `analysis` runs two passes over it, each
call by its rule (`rules`, one file a family of operations): forward for the labels and constants
of `channels`, backward for what the outputs use. `writer` is the ledger of a new graph, and
`agreement` the one idea of what "the same function" means.
"""
