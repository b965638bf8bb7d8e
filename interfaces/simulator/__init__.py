"""The vendor simulator: four vendors' wire formats on loopback, with their faults, limits and batches, and books.

with running(seed=3, fault=["0.1:rate_limited"]) as simulator:
    ...  # simulator.url, simulator.xai_host, simulator.environment
    simulator.set(rate="50")
    simulator.books()
"""

from bessemer.interfaces.simulator._handle import Simulator, running

__all__ = ["Simulator", "running"]
