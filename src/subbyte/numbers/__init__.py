"""Values to integers and bits: schemes, scales, grids. No models."""
