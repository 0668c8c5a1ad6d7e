"""Clean annotations: readers and writers, checks, the registry, splits and decoded images."""
