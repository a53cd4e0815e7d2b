"""What one store takes, how a cluster splits the load, and what slices of a hot account's budget would gain.

`python -m benchmarks.slices` prints the tables of the simulation, the same ones on every machine;
`python -m benchmarks.slices measure` measures the figures that it stands on.
"""
