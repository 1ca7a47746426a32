"""The whole optimiser step as a ratio to torch.optim.SGD's, and what compiling costs."""

from benchmarks.cost import (
    NETWORKS,
    PENALTIES,
    assert_right,
    first_step_seconds,
    optimizer_steps,
    prepare,
)


class OptimizerStep:
    """ProximalSGD against torch.optim.SGD(momentum, foreach), in turns in one process."""

    params = (list(PENALTIES), list(NETWORKS))
    param_names = ("penalty", "network")
    version = "2"
    unit = "ratio"
    timeout = 300

    def setup(self, penalty: str, network: str) -> None:
        prepare()
        assert_right(network, penalty)

    def track_ratio_to_sgd(self, penalty: str, network: str) -> float:
        return optimizer_steps(network, penalty)[penalty]


class FirstStep:
    """The first step of a fresh process: kernels are compiled once a machine, then kept."""

    version = "1"
    unit = "seconds"
    timeout = 300

    def track_with_an_empty_cache(self) -> float:
        return first_step_seconds()[0]

    def track_with_a_full_cache(self) -> float:
        return first_step_seconds()[1]
