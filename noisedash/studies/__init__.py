"""Lists of runs: the paper's, the quick one, grids; and what their results say."""
