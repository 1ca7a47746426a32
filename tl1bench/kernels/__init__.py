"""Kernels in C, compiled at first use, and in Triton; the torch formulas that they must equal."""
