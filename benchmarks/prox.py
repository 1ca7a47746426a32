"""The proximal operators alone."""

from benchmarks.cost import prepare, prox_alone

PENALTIES = ["l1", "tl1", "group_lasso", "sparse_group_lasso", "integrated_tl1", "mcp"]
MEMBERS = 100


class ProxRatio:
    """The in-place prox of 11 million weights against torch's softshrink and a copy, in turns."""

    params = (["l1", "tl1"],)
    param_names = ("penalty",)
    version = "1"
    unit = "ratio"

    def setup(self, penalty: str) -> None:  # noqa: ARG002
        prepare()

    def track_ratio_to_softshrink(self, penalty: str) -> float:
        return prox_alone(penalty)[0]

    def track_ratio_to_copy(self, penalty: str) -> float:
        return prox_alone(penalty)[1]


class Prox:
    """Apply one penalty's prox to (n / 100) groups of 100 weights."""

    params = (PENALTIES, [10_000, 1_000_000])
    param_names = ("penalty", "weights")
    version = "1"

    def setup(self, penalty: str, weights: int) -> None:
        import torch

        from tl1bench import penalties

        prepare()
        generator = torch.Generator().manual_seed(0)
        self.z = torch.randn(weights // MEMBERS, MEMBERS, generator=generator) * 0.05
        self.penalty = penalties.load(penalty, lam=0.1)
        x = self.penalty.prox(self.z, 0.01)
        exact = self.penalty.prox(self.z[:100].double(), 0.01)
        # A wrong answer is not worth timing.
        assert bool((x.abs() <= self.z.abs()).all())
        torch.testing.assert_close(x[:100].double(), exact, rtol=1e-5, atol=1e-7)

    def time_prox(self, penalty: str, weights: int) -> None:  # noqa: ARG002
        self.penalty.prox(self.z, 0.01)
