"""Consensus: many models answer, vote on what the others answered, and code decides."""

from bessemer.pipelines._base import Pipeline
from bessemer.pipelines.consensus._acts import Policy, RuleName
from bessemer.pipelines.consensus._method import consensus
from bessemer.pipelines.consensus._modes import Setting, find, mode_names, register
from bessemer.pipelines.consensus._plan import ConsensusOutcome, ConsensusPlan, Pace
from bessemer.pipelines.planning import Mode

PIPELINE = Pipeline(plan=ConsensusPlan, outcome=ConsensusOutcome, run=consensus)

__all__ = [
    "PIPELINE",
    "ConsensusOutcome",
    "ConsensusPlan",
    "Mode",
    "Pace",
    "Policy",
    "RuleName",
    "Setting",
    "consensus",
    "find",
    "mode_names",
    "register",
]
