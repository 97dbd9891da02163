"""Measurements of pooledhttp beside its peers. `python -m benchmarks` lists them."""
