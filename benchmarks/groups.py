"""Deriving a network's units and groups: once a problem, before anything is trained."""

from benchmarks._networks import dense, example


class Anatomy:
    """Trace a network and find its units and the groups that a penalty sees."""

    params = (["mlp", "lenet5", "torchvision/resnet18"], ["outgoing", "incoming"])
    param_names = ("network", "side")
    version = "1"
    timeout = 300

    def setup(self, network: str, side: str) -> None:
        from tl1bench import neurons

        self.model, self.x = dense(network), example(network)
        found = neurons.Anatomy.of(self.model, self.x, side)
        weight = self.model.get_parameter
        grouped = sum(
            slab.view(weight(slab.tensor))[slab.index.reshape(-1)].numel()
            for block in found.groups
            for slab in block.slabs
        )
        # Each weight is in exactly one group.
        assert grouped == sum(weight(name).numel() for name in neurons.weight_layers(self.model))

    def time_anatomy(self, network: str, side: str) -> None:  # noqa: ARG002
        from tl1bench import neurons

        neurons.Anatomy.of(self.model, self.x, side)
