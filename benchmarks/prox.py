"""The proximal operators alone, against nothing: seconds for n float32 weights."""

PENALTIES = ["l1", "tl1", "group_lasso", "sparse_group_lasso", "integrated_tl1", "mcp"]
MEMBERS = 100


class Prox:
    """Apply one penalty's prox to (n / 100) groups of 100 weights."""

    params = (PENALTIES, [10_000, 1_000_000])
    param_names = ("penalty", "weights")
    version = "1"

    def setup(self, penalty: str, weights: int) -> None:
        import torch

        from tl1bench import penalties

        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        generator = torch.Generator().manual_seed(0)
        self.z = torch.randn(weights // MEMBERS, MEMBERS, generator=generator) * 0.05
        self.penalty = penalties.load(penalty, lam=0.1)
        x = self.penalty.prox(self.z, 0.01)
        # A wrong answer is not worth timing.
        assert bool((x.abs() <= self.z.abs()).all())

    def time_prox(self, penalty: str, weights: int) -> None:  # noqa: ARG002
        self.penalty.prox(self.z, 0.01)
