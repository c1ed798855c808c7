"""Looks up every view and encoder that settings name, so that an unknown one is told with its key and line."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlseg.encoders.content_manifest import find_text_encoders
from sqlseg.encoders.image_manifest import find_image_encoders
from sqlseg.encoders.manifest import UnknownEncoder, find_encoders
from sqlseg.features.registry import Kind, Registry, UnknownFeatureView, UnknownVersion
from sqlseg.settings import FittedSegmentation, InputRef, Settings, setting_problem
from sqlseg.settings.toml_lines import KeyPath
from sqlseg.settings.values import nearest

_VIEWS: dict[str, Kind] = {"features": "features", "content": "contents"}


def check_references(settings: Settings, registry: Registry, encoder_roots: Sequence[Path]) -> None:
    """Raise InvalidSettings for the first view, version or encoder that does not exist; names the key and the line."""
    found = None
    for key, one in _references(settings):
        try:
            if one.kind in _VIEWS:
                registry.view(_VIEWS[one.kind], one.ref)
            elif one.kind in ("encoder", "forecast"):
                found = find_encoders(encoder_roots) if found is None else found
                if one.ref not in found:
                    raise UnknownEncoder(one.ref, found)
        except (UnknownFeatureView, UnknownVersion, UnknownEncoder) as error:
            raise setting_problem(settings, key, f"{error.message.rstrip('.')}. {error.hint}") from error
    for name in settings.encoders:
        known = _encoder_names(encoder_roots)
        if name not in known:
            message = f"there is no encoder {name!r}{nearest(name, known)}; there are {', '.join(known)}"
            raise setting_problem(settings, ("encoders", name), message)


def _references(settings: Settings) -> Iterator[tuple[KeyPath, InputRef]]:
    """Yield every reference to a view or an encoder, with where it stands."""
    for name, segmentation in settings.segmentations.items():
        if isinstance(segmentation, FittedSegmentation):
            for place, one in enumerate(segmentation.inputs):
                yield ("segmentations", name, "inputs", place), one
    for place, one in enumerate(settings.forecasts.features or ()):
        yield ("forecasts", "features", place), one
    if settings.features.publish != "all":
        for place, one in enumerate(settings.features.publish):
            yield ("features", "publish", place), one


def _encoder_names(roots: Sequence[Path]) -> list[str]:
    manifests = [
        *(encoder.manifest.name for encoder in find_encoders(roots).values()),
        *(encoder.manifest.name for encoder in find_text_encoders(roots).values()),
        *(encoder.manifest.name for encoder in find_image_encoders(roots).values()),
    ]
    return sorted(set(manifests))
