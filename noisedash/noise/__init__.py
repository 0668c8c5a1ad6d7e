"""Label noise: a recipe turns a clean training set into a noisy one and tells the fate of every box."""
