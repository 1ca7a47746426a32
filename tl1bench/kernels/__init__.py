"""C kernels in .c files, compiled at first use, and the torch formulas that they must equal."""
