"""What compaction returns: a network, what was done, and its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from tl1bench.compaction import archive
from tl1bench.compaction.report import Report
from tl1bench.errors import CompactionError
from tl1bench.files import atomic_path
from tl1bench.tracing.inputs import Inputs


@dataclass(frozen=True, eq=False)
class Compacted:
    """The compact `model`, a torch.fx.GraphModule in eval mode, and the `report`.

    It is called as the model was with `example_inputs` and `example_kwargs`: by position or by the
    names of the arguments, with tensors in the same lists, tuples and dicts, and the same
    constants. `sizes` are the free ones besides the batch's, see `Inputs`.
    """

    model: fx.GraphModule
    report: Report
    example_inputs: tuple[Any, ...]
    example_kwargs: Mapping[str, Any] = field(default_factory=dict)
    sizes: Any = None

    def save(self, path: str | Path) -> None:
        """Write the model to one file (see `load_compacted`).

        `.safetensors` holds the graph as data beside the tensors; any other name makes a `.pt2`,
        an exported program, with a free batch size unless the network fixes it.

        Raises
        ------
        CompactionError
            The network returns a container that a .pt2 file cannot hold.
        """
        if Path(path).suffix == ".safetensors":
            archive.write(self.model, Path(path))
            return
        inputs = Inputs.of(self.example_inputs, self.example_kwargs, self.sizes)
        if self.report.fixed_batch is not None:
            inputs = inputs.fixed()
        plain = _without_graph(self.model)
        try:
            with torch.no_grad():
                program = torch.export.export(
                    plain, inputs.args, dict(inputs.kwargs), dynamic_shapes=inputs.shapes(plain)
                )
            with atomic_path(Path(path)) as draft:
                torch.export.save(program, draft)
        except NotImplementedError as error:
            raise CompactionError(f"The network cannot be saved as .pt2 ({error}).") from error


def _without_graph(model: fx.GraphModule) -> nn.Module:
    """Return a module that runs the code of a graph.

    torch.export goes through a graph by itself, and outputs are in containers of its own then.
    """
    found = type("Compacted", (nn.Module,), {"forward": type(model).forward})()
    for name in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
        setattr(found, name, getattr(model, name))
    module: nn.Module = found.eval()
    return module
