"""The whole optimiser step as a ratio to torch.optim.SGD's in the same process."""

import time

NETWORKS = {"lenet300": ("mlp", {}), "lenet5": ("lenet5", {})}
PENALTIES = ["none", "l1", "tl1", "sparse_group_lasso", "integrated_tl1"]


class Step:
    """Median over alternating blocks of steps: ours / torch.optim.SGD(momentum, foreach)."""

    params = (PENALTIES, list(NETWORKS))
    param_names = ("penalty", "network")
    version = "1"
    unit = "ratio"

    def setup(self, penalty: str, network: str) -> None:
        import torch

        from tl1bench import ProximalSGD, models, penalties

        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        name, options = NETWORKS[network]
        self.steps = []
        for ours in (True, False):
            model = models.build(name, (1, 28, 28), 10, seed=0, **options)
            x = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
            torch.nn.functional.cross_entropy(model(x), torch.arange(8)).backward()
            optimizer = (
                ProximalSGD(model, penalties.load(penalty, lam=1e-6), lr=0.1, example_inputs=x)
                if ours
                else torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, foreach=True)
            )
            self.steps.append(optimizer.step)

    def track_ratio_to_sgd(self, penalty: str, network: str) -> float:  # noqa: ARG002
        import numpy as np

        ratios = []
        for _ in range(30):
            seconds = []
            for step in self.steps:
                began = time.perf_counter()
                for _ in range(20):
                    step()
                seconds.append(time.perf_counter() - began)
            ratios.append(seconds[0] / seconds[1])
        return float(np.median(ratios))
