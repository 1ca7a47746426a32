"""Tiny networks of transformers: their own classes, configurations of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def _tokens(**numbers: int) -> dict[str, int]:
    """Return the numbers of special tokens, as configurations call them."""
    return {f"{what}_token_id": number for what, number in numbers.items()}


_TEXT = {"vocab_size": 99, "max_position_embeddings": 32}
_ENCODER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
            "intermediate_size": 48}  # fmt: skip
_DECODER = {**_TEXT, **_ENCODER, "num_key_value_heads": 2, "use_cache": False}
_IMAGE = {"image_size": 32, "patch_size": 8, "num_channels": 3}
# Class, and what its configuration is given; inputs follow from what the class takes first.
NETWORKS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "albert": ("AlbertModel", {**_TEXT, **_ENCODER, "embedding_size": 16}),
    "beit": ("BeitModel", {**_IMAGE, **_ENCODER}),
    "bert": ("BertModel", {**_TEXT, **_ENCODER}),
    "convnext": ("ConvNextModel", {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}),
    "deit": ("DeiTModel", {**_IMAGE, **_ENCODER}),
    "dinov2": ("Dinov2Model", {**_IMAGE, **_ENCODER, "mlp_ratio": 2}),
    "distilbert": ("DistilBertModel", {**_TEXT, "dim": 32, "n_layers": 2, "n_heads": 4,
                                       "hidden_dim": 48}),
    "electra": ("ElectraModel", {**_TEXT, **_ENCODER, "embedding_size": 16}),
    "gemma": ("GemmaModel", {**_DECODER, "head_dim": 8}),
    "gpt2": ("GPT2Model", {"vocab_size": 99, "n_positions": 32, "n_embd": 32, "n_layer": 2,
                           "n_head": 4, "use_cache": False}),
    "gpt_neox": ("GPTNeoXModel", {**_TEXT, **_ENCODER, "use_cache": False}),
    "llama": ("LlamaModel", _DECODER),
    "mistral": ("MistralModel", {**_DECODER, "sliding_window": None}),
    "mobilenet_v2": ("MobileNetV2Model", {"depth_multiplier": 0.35}),
    "mpnet": ("MPNetModel", {**_TEXT, **_ENCODER}),
    "opt": ("OPTModel", {**_TEXT, "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2,
                         "num_attention_heads": 4, "word_embed_proj_dim": 32, "use_cache": False}),
    "phi": ("PhiModel", {**_TEXT, **_ENCODER, "use_cache": False}),
    "qwen2": ("Qwen2Model", _DECODER),
    "resnet": ("ResNetModel", {"embedding_size": 8, "hidden_sizes": [16, 24, 32, 40],
                               "depths": [1, 1, 2, 1], "layer_type": "bottleneck"}),
    "roberta": ("RobertaModel", {**_TEXT, **_ENCODER, **_tokens(pad=1)}),
    "segformer": ("SegformerModel", {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1],
                                     "num_attention_heads": [1, 2, 2, 4]}),
    "t5_encoder": ("T5EncoderModel", {"vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 48,
                                      "num_layers": 2, "num_heads": 4}),
    "vit": ("ViTModel", {**_IMAGE, **_ENCODER}),
    "wav2vec2": ("Wav2Vec2Model", {**_ENCODER, "conv_dim": [16, 16], "conv_stride": [5, 2],
                                   "conv_kernel": [10, 3], "num_feat_extract_layers": 2,
                                   "num_conv_pos_embeddings": 16,
                                   "num_conv_pos_embedding_groups": 4}),
    "whisper_encoder": ("WhisperModel", {"vocab_size": 99, "num_mel_bins": 16, "d_model": 32,
                                         "encoder_layers": 2, "decoder_layers": 1,
                                         "encoder_attention_heads": 4,
                                         "decoder_attention_heads": 4, "encoder_ffn_dim": 48,
                                         "decoder_ffn_dim": 48, "max_source_positions": 20,
                                         "max_target_positions": 20,
                                         **_tokens(pad=0, bos=1, eos=2, decoder_start=1),
                                         "suppress_tokens": None,
                                         "begin_suppress_tokens": None}),
}  # fmt: skip


def build(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the network with random weights, and two examples of what it takes first."""
    import transformers

    kind, options = NETWORKS[name]
    own = getattr(transformers, kind)
    network = own(own.config_class(**options))
    if name == "whisper_encoder":
        return network.get_encoder(), (torch.randn(2, 16, 40),)
    if network.main_input_name == "input_ids":
        return network, (torch.randint(3, 99, (2, 12)),)
    if network.main_input_name == "input_values":
        return network, (torch.randn(2, 400),)
    size = options.get("image_size", 64)
    return network, (torch.randn(2, 3, size, size),)
