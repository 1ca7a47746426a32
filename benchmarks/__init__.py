"""Our own speed, tracked by asv: `make bench`."""
