"""Simulated shops whose behaviour groups are known: for trying scale, for tests, and for pretraining encoders."""

from sqlseg.synth.groups import KNOWN_GROUPS, Group, random_groups
from sqlseg.synth.shop import Shop, random_shop
from sqlseg.synth.simulate import simulate_shop
from sqlseg.synth.writer import SynthSummary, write_synthetic_events

__all__ = [
    "KNOWN_GROUPS",
    "Group",
    "Shop",
    "SynthSummary",
    "random_groups",
    "random_shop",
    "simulate_shop",
    "write_synthetic_events",
]
