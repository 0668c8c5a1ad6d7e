"""Batches, augmentation, optimisers, checkpoints and the training loop."""
