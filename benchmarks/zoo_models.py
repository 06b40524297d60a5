"""The models of mindcv that docs/coverage.md is about: each family, and a small variant where there is one.

rexnet is left out: its constructor fails on MindSpore 2.10 (a Tensor that is not initialised).
"""

MODELS = (
    "squeezenet1_0", "mobilenet_v1_025", "mobilenet_v2_035_128", "mnasnet_050", "resnet18", "shufflenet_v2_x0_5",
    "shufflenet_v1_g3_05", "mobilenet_v3_small_075", "ghostnet_050", "regnet_x_200mf", "regnet_y_200mf", "seresnet18",
    "seresnext26_32x4d", "skresnet18", "efficientnet_b0", "googlenet", "resnet50", "resnetv2_50", "resnext50_32x4d",
    "repvgg_a0", "xception", "resnest14", "densenet121", "mixnet_s", "res2net50", "inception_v3", "dpn92",
    "inception_v4", "hrnet_w32", "nasnet_a_4x1056", "pnasnet", "vgg11", "poolformer_s12", "mobilevit_xx_small",
    "edgenext_xx_small", "convnextv2_atto", "convnext_tiny", "BiT_resnet50", "mlp_mixer_s_p16", "repmlp_t224",
    "pit_ti", "pvt_tiny", "pvt_v2_b0", "vit_b_32_224", "convit_tiny", "crossvit_9", "cait_xxs24_224", "cmt_tiny",
    "coat_lite_tiny", "visformer_tiny", "xcit_tiny_12_p16_224", "swin_tiny", "swinv2_tiny_window8", "volo_d1",
    "halonet_50t", "mae_b_16_224_finetune",
)

# Height and width that mindcv's own configuration has wrong: the network takes no other.
SIZES = {"swinv2_tiny_window8": 256}
