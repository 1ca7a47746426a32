"""How far the float32 prox is from the float64 one: what cancellation costs a user."""

STEPS = (1e-8, 1e-6, 1e-4, 1e-2)


class Error:
    """Transformed ℓ1 on a hundred thousand normal weights of standard deviation 0.05."""

    params = (["tl1", "integrated_tl1"], [0.01, 1.0, 100.0])
    param_names = ("penalty", "a")
    version = "1"

    def setup(self, penalty: str, a: float) -> None:
        import torch

        from tl1bench import penalties

        self.z = torch.randn(1000, 100, generator=torch.Generator().manual_seed(0)) * 0.05
        chosen = penalties.load(penalty, a=a)
        self.pairs = [
            (chosen.prox(self.z, step).double(), chosen.prox(self.z.double(), step))
            for step in STEPS
        ]

    def track_largest_ulp(self, penalty: str, a: float) -> float:  # noqa: ARG002
        """Return max |x₃₂ − x₆₄| in last places of z over four steps, where both are non-zero."""
        import torch

        ulp = self.z.abs().double() * torch.finfo(torch.float32).eps
        return max(
            float(((x - exact).abs() / ulp)[(x != 0) == (exact != 0)].max())
            for x, exact in self.pairs
        )

    def track_zeros_that_differ(self, penalty: str, a: float) -> int:  # noqa: ARG002
        return sum(int(((x == 0) != (exact == 0)).sum()) for x, exact in self.pairs)

    track_largest_ulp.unit = "ulp"
    track_zeros_that_differ.unit = "weights"
