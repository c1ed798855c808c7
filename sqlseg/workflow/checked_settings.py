"""Looks settings up in what there is: algorithms, and the encoders of texts and images."""

from pathlib import Path

from sqlseg.encoders.content_manifest import TextEncoder, load_text_encoder
from sqlseg.encoders.image_manifest import ImageEncoder, load_image_encoder
from sqlseg.encoders.manifest import UnknownEncoder
from sqlseg.settings import ClusterSegmentation, Settings, SupervisedSegmentation, setting_problem
from sqlseg.settings.values import nearest


def check_algorithms(settings: Settings) -> None:
    """Raise InvalidSettings, which names the line, for an algorithm that does not exist or takes no number."""
    for name, segmentation in settings.segmentations.items():
        if not isinstance(segmentation, ClusterSegmentation | SupervisedSegmentation):
            continue
        given = segmentation.algorithm
        if isinstance(segmentation, ClusterSegmentation) and given == "kmeans":
            continue  # which most take, fits whatever else is set: the others need not be known
        from sqlseg.segments.algorithms import ALGORITHMS, FINDS_THE_NUMBER
        from sqlseg.segments.learners import LEARNERS
        from sqlseg.segments.supervised import SUPERVISED_ALGORITHMS

        there = SUPERVISED_ALGORITHMS if isinstance(segmentation, SupervisedSegmentation) else tuple(ALGORITHMS)
        if given not in there:
            known = ", ".join(f'"{one}"' for one in there)
            message = f"there is no algorithm {given!r}{nearest(given, there)}; it must be one of {known}"
            raise setting_problem(settings, ("segmentations", name, "algorithm"), message)
        if isinstance(segmentation, ClusterSegmentation) and segmentation.pins is not None:
            message = f'users can be pinned with algorithm = "kmeans" only, got {given!r}'
            raise setting_problem(settings, ("segmentations", name, "pins"), message)
        if isinstance(segmentation, SupervisedSegmentation) and segmentation.projection != "none":
            turned = [f'"{one}"' for one, learner in LEARNERS.items() if learner.reads == "scaled"]
            if f'"{given}"' not in turned:
                message = (
                    f'must be "none" with {given}, which reads each input as it is, unknown values too; '
                    f"axes are for {', '.join(turned)}"
                )
                raise setting_problem(settings, ("segmentations", name, "projection"), message)
        if isinstance(segmentation, ClusterSegmentation) and given in FINDS_THE_NUMBER and segmentation.k != "auto":
            message = f'must be "auto" with {given}, which finds the number of segments itself, got {segmentation.k}'
            raise setting_problem(settings, ("segmentations", name, "k"), message)


def image_encoder_of(settings: Settings, roots: list[Path]) -> ImageEncoder:
    """Return the encoder of images that is set. Raises InvalidSettings where there is none."""
    ref = settings.content.image_encoder
    if ref is None:
        told = (
            "is needed for images among the inputs: no image encoder ships with sqlseg. The page What users buy says "
            "how to bring one in onnx_models/<name>_v<k>/"
        )
        raise setting_problem(settings, ("content", "image_encoder"), told)
    try:
        return load_image_encoder(ref, roots)
    except UnknownEncoder as error:
        raise setting_problem(settings, ("content", "image_encoder"), f"{error.message} {error.hint}") from error


def text_encoder_of(settings: Settings, roots: list[Path]) -> TextEncoder:
    """Return the encoder of texts that is set. Raises InvalidSettings where there is none."""
    try:
        return load_text_encoder(settings.content.text_encoder, roots)
    except UnknownEncoder as error:
        raise setting_problem(settings, ("content", "text_encoder"), f"{error.message} {error.hint}") from error
