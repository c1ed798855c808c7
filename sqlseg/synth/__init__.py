"""Simulated shops whose behaviour groups are known: for trying scale, for tests, and for pretraining encoders."""

from sqlseg.synth.groups import KNOWN_GROUPS, Group, changing_groups, random_groups
from sqlseg.synth.shop import Shop, eventful_shop, random_shop
from sqlseg.synth.simulate import simulate_shop
from sqlseg.synth.writer import SynthSummary, write_synthetic_events

__all__ = [
    "KNOWN_GROUPS",
    "Group",
    "Shop",
    "SynthSummary",
    "changing_groups",
    "eventful_shop",
    "random_groups",
    "random_shop",
    "simulate_shop",
    "write_synthetic_events",
]
