"""The whole training step, forward and backward included, as a ratio to torch.optim.SGD's."""

from benchmarks.cost import NETWORKS, assert_right, prepare, training_steps


class TrainingStep:
    """Batch 128, ResNet-18 on 32 x 32 images; in turns in one process."""

    params = (["integrated_tl1"], list(NETWORKS))
    param_names = ("penalty", "network")
    version = "1"
    unit = "ratio"
    timeout = 300

    def setup(self, penalty: str, network: str) -> None:
        prepare()
        assert_right(network, penalty)

    def track_ratio_to_sgd(self, penalty: str, network: str) -> float:
        return training_steps(network, penalty)[penalty]
