"""Seeded schedules of faults over real runs, checked from three independent books. `docs/reliability.md` tells more."""
