"""How far the float32 prox is from the float64 one: what cancellation costs a user."""

from __future__ import annotations

from itertools import product

PENALTIES = ["tl1", "integrated_tl1"]
A = [0.01, 1.0, 100.0]
STEPS = (1e-8, 1e-6, 1e-4, 1e-2)


class Error:
    """Transformed ℓ1 on a hundred thousand normal weights of standard deviation 0.05."""

    params = (PENALTIES, A)
    param_names = ("penalty", "a")
    version = "1"

    def setup_cache(self) -> dict[tuple[str, float], tuple[float, int]]:
        """Return the largest error in last places of z, and how often only one result is zero."""
        import torch

        from tl1bench import penalties

        z = torch.randn(1000, 100, generator=torch.Generator().manual_seed(0)) * 0.05
        ulp = z.abs().double() * torch.finfo(torch.float32).eps
        found = {}
        for name, a in product(PENALTIES, A):
            penalty = penalties.load(name, a=a)
            errors, differ = [], 0
            for step in STEPS:
                x, exact = penalty.prox(z, step).double(), penalty.prox(z.double(), step)
                alike = (x != 0) == (exact != 0)
                errors.append(float(((x - exact).abs() / ulp)[alike].max()))
                differ += int((~alike).sum())
            found[name, a] = (max(errors), differ)
        return found

    def track_largest_ulp(
        self, found: dict[tuple[str, float], tuple[float, int]], penalty: str, a: float
    ) -> float:
        return found[penalty, a][0]

    def track_zeros_that_differ(
        self, found: dict[tuple[str, float], tuple[float, int]], penalty: str, a: float
    ) -> int:
        return found[penalty, a][1]

    track_largest_ulp.unit = "ulp"
    track_zeros_that_differ.unit = "weights"
