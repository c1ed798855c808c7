"""`sqlseg.toml` -> frozen, validated settings."""

from sqlseg.settings.model import (
    FILE_NAME,
    ClusterSegmentation,
    DriftLimits,
    EncoderSettings,
    EventsSettings,
    FeaturesSettings,
    FittedSegmentation,
    ForecastsSettings,
    ProjectSettings,
    RulesSegmentation,
    Segmentation,
    Settings,
    SourceSettings,
    SupervisedSegmentation,
    WarehouseSettings,
)
from sqlseg.settings.privacy import PrivacySettings
from sqlseg.settings.reading import (
    InvalidSettings,
    NoProject,
    Problem,
    load_settings,
    parse_settings,
    setting_problem,
)
from sqlseg.settings.values import InputRef, parse_input

__all__ = [
    "FILE_NAME",
    "ClusterSegmentation",
    "DriftLimits",
    "EncoderSettings",
    "EventsSettings",
    "FeaturesSettings",
    "FittedSegmentation",
    "ForecastsSettings",
    "InputRef",
    "InvalidSettings",
    "NoProject",
    "PrivacySettings",
    "Problem",
    "ProjectSettings",
    "RulesSegmentation",
    "Segmentation",
    "Settings",
    "SourceSettings",
    "SupervisedSegmentation",
    "WarehouseSettings",
    "load_settings",
    "parse_input",
    "parse_settings",
    "setting_problem",
]
