"""Networks that no one here wrote, compacted one by one: `python -m benchmarks.zoo` (see there)."""
