"""Average precision of predictions on clean annotations."""
