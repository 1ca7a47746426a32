"""Latency of a dense network and of a compact one on the device, at several batch sizes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

import tl1bench as tl
from tl1bench.errors import MeasurementError, MissingPackageError
from tools.gpu_proof.clock import captured, microseconds
from tools.gpu_proof.scale import Proof, Row, Scale

KEPT = 0.25  # of the channels of each layer


def run(proof: Proof) -> Iterator[Row]:
    """Yield a row for each network and batch: torch, and onnxruntime where it has CUDA."""
    scale = proof.scale
    dense, sparse = scale.build().eval(), scale.build().eval()
    with torch.no_grad():
        for p in list(sparse.parameters())[:-2]:
            p[int(KEPT * len(p)) :] = 0
    small = tl.compact(sparse, scale.inputs(2)).model
    for name, network in {"dense": dense, "a quarter of the channels": small}.items():
        sessions = _onnx(network, proof.folder / f"{name.split()[0]}.onnx", scale)
        for batch in scale.batches:
            row = _row(scale, f"{scale.network}, {name}", network, batch)
            yield row | _timed(sessions, scale, batch)


def _row(scale: Scale, what: str, network: nn.Module, batch: int) -> Row:
    x = scale.inputs(batch)

    @torch.no_grad()
    def once() -> object:
        return network(x)

    row: Row = {"what": f"{what}, batch {batch}", "batch": batch}
    row["torch_us"] = microseconds(once, scale.device, scale.rounds)
    if scale.card:
        row["torch_graph_us"] = microseconds(captured(once), scale.device, scale.rounds)
    return row


def _onnx(network: nn.Module, path: Path, scale: Scale) -> dict[str, Any]:
    """Return a session for each provider that runs it; the reason where there is none."""
    try:
        tl.export_onnx(network.cpu(), scale.inputs(2).cpu(), path)
        from tl1bench.runtime import available, open_session
    except (MissingPackageError, ImportError) as error:
        return {"anywhere": str(error)}
    finally:
        network.to(scale.device)
    found: dict[str, Any] = {}
    for provider in available():
        try:
            found[provider] = open_session(path, provider=provider)
        except MeasurementError as error:
            found[provider] = str(error)
    return found


def _timed(sessions: dict[str, Any], scale: Scale, batch: int) -> Row:
    """Time each session; on the card inputs and outputs stay there, so that no copy is timed."""
    row: Row = {}
    for provider, session in sessions.items():
        if isinstance(session, str):
            row[f"onnxruntime_{provider}"] = session
            continue
        from tl1bench.runtime import bind, feed

        call = bind(session, feed(session, batch), provider)
        # The host's clock: a call ends when its results are complete.
        row[f"onnxruntime_{provider}_us"] = microseconds(call, torch.device("cpu"), scale.rounds)
    return row
