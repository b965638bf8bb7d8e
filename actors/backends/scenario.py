"""Scenario files: the format that the scripted backend and the simulator share."""

from bessemer.actors.backends._scripted import Answer, Scenario, load_scenario

__all__ = ["Answer", "Scenario", "load_scenario"]
