"""timm's networks: one small one a family, sixty families."""

from __future__ import annotations

from torch import Tensor, nn

NAMES = (
    "bat_resnext26ts", "beit_base_patch16_224", "botnet26t_256", "cait_xxs24_224", "caformer_s18",
    "coat_lite_tiny", "coatnet_nano_rw_224", "convit_tiny", "convmixer_768_32", "convnext_atto",
    "convnextv2_atto", "crossvit_9_240", "cs3darknet_focus_m", "davit_tiny",
    "deit_tiny_patch16_224", "densenetblur121d", "dla46_c", "dpn48b", "edgenext_xx_small",
    "efficientformer_l1",
    "efficientformerv2_s0", "efficientnet_lite0", "efficientvit_b0", "efficientvit_m0",
    "ese_vovnet19b_slim", "eva02_tiny_patch14_224", "fasternet_t0", "fastvit_t8",
    "focalnet_tiny_srf",
    "gcvit_xxtiny", "ghostnet_050", "gmlp_ti16_224", "hgnetv2_b0", "hrnet_w18_small",
    "inception_next_atto", "lcnet_050", "levit_128s", "mambaout_femto", "maxvit_rmlp_pico_rw_256",
    "mixer_s16_224", "mobilenetv4_conv_small", "mobileone_s0", "mobilevit_xxs", "mobilevitv2_050",
    "mvitv2_tiny", "nf_regnet_b0", "pit_ti_224", "poolformer_s12", "pvt_v2_b0", "regnety_002",
    "repghostnet_050", "repvit_m0_9", "res2net50_48w_2s", "resmlp_12_224", "resnest14d",
    "resnetv2_50", "rexnet_100", "selecsls42", "sequencer2d_s", "shvit_s1", "skresnet18",
    "starnet_s1", "swiftformer_xs", "swinv2_cr_tiny_224", "tiny_vit_5m_224", "twins_svt_small",
    "visformer_tiny", "xcit_nano_12_p16_224",
)  # fmt: skip


def build(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the network with random weights, and two images: small ones where it takes any."""
    import timm
    import torch

    network = timm.create_model(name, pretrained=False, num_classes=10)
    config = network.pretrained_cfg
    fixed = config.get("fixed_input_size") or not hasattr(network, "global_pool")
    least = config.get("min_input_size", (3, 96, 96))[-1]
    size = config["input_size"][-1] if fixed or name[-3:].isdigit() else max(96, least)
    return network, (torch.randn(2, 3, size, size),)
