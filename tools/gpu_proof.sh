#!/usr/bin/env bash
# The whole proof on a card: tools/gpu_proof.sh FOLDER [--data FOLDER] [--skip PART ...]
cd "$(dirname "$0")/.." && exec python3 -m tools.gpu_proof "$@"
