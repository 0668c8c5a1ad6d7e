"""SSD on MobileNetV1: anchors, matching, network, losses, post-processing, weights files."""
