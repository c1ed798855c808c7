"""Starts an encoder on the CPU or a GPU, and knows on which of them it really runs."""

import contextlib
import ctypes
import io
import re
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime

from sqlseg.encoders.batching import ON_CPU, ON_GPU, Batching
from sqlseg.encoders.manifest import Device, Encoder, Tensor, check_model_file
from sqlseg.encoders.onnxfile import check_one_file, with_output
from sqlseg.errors import SqlsegError

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

_ERRORS, _FATAL = 3, 4

_OPTIONS = {CUDA: (CUDA, {"use_tf32": "0"})}
"""TF32 keeps 10 bits of each factor: quicker for large models, and further from what the CPU gives."""


class DeviceUnavailable(SqlsegError):
    """A GPU was demanded and did not start."""

    def __init__(self, device: str, reason: str) -> None:
        super().__init__(
            f"The encoder was to run on {device!r}, which did not start: {reason}.",
            hint="Set device = \"auto\" to use the CPU, or install the CUDA libraries: pip install 'sqlseg[cuda]'.",
        )


class EncoderNotRunnable(SqlsegError):
    """A model cannot be loaded, or does not take and give what its manifest says."""

    def __init__(self, path: Path, problem: str, hint: str = "Run `sqlseg encoders verify`.") -> None:
        super().__init__(f"{path} cannot be run: {problem}.", hint=hint)
        self.problem = problem


@dataclass(frozen=True)
class EncoderSession:
    """A started encoder. It computes with one thread, and several threads may call it side by side."""

    encoder: Encoder
    provider: str
    _session: onnxruntime.InferenceSession
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock, compare=False)

    @property
    def on_gpu(self) -> bool:
        """Whether it runs on a GPU."""
        return self.provider != CPU

    @property
    def batching(self) -> Batching:
        """How large its batches should be."""
        return ON_GPU if self.on_gpu else ON_CPU

    def run(self, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return embeddings (batch, dimensions) of right-padded tokens (batch, length, columns).

        Raises EncoderNotRunnable, also where the answer has another shape.
        """
        described = self.encoder.manifest
        feed = self.feed(tokens, lengths)
        try:
            if self.on_gpu:
                # One batch fills a GPU; the threads that wait have padded theirs by then.
                with self._one_at_a_time:
                    found = self.run_bound(feed, "cuda")
            else:
                found = self._session.run([described.output.name], feed)[0]
        except Exception as error:  # ONNX Runtime's exceptions share no other base
            raise EncoderNotRunnable(self.encoder.model_path, _told(error)) from error
        if found.shape != (len(tokens), described.dimensions):
            expected = f"{(len(tokens), described.dimensions)} for {len(tokens)} sequences"
            raise EncoderNotRunnable(self.encoder.model_path, f"it gave {found.shape} instead of {expected}")
        return found

    def run_bound(self, feed: Mapping[str, np.ndarray], device: Literal["cpu", "cuda"]) -> np.ndarray:
        """Return the answer to inputs that are put on a device first, which brings nothing else back from there."""
        binding = self._session.io_binding()
        for name, array in feed.items():
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array, device, 0))
        binding.bind_output(self.encoder.manifest.output.name, device)
        self._session.run_with_iobinding(binding)
        found: np.ndarray = binding.copy_outputs_to_cpu()[0]
        return found

    def feed(self, tokens: np.ndarray, lengths: np.ndarray, ages: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Return what the model takes, by name; without ages (batch,), in days, only its embeddings mean something."""
        described = self.encoder.manifest
        feed = {described.inputs[0].name: tokens, described.inputs[1].name: lengths}
        if described.forecasts is not None:
            feed[described.forecasts.age.name] = np.zeros(len(lengths), np.float32) if ages is None else ages
        return feed

    def run_with_forecasts(
        self, tokens: np.ndarray, lengths: np.ndarray, ages: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return embeddings and forecasts (batch, horizons, quantities), of an encoder that gives forecasts."""
        described = self.encoder.manifest
        assert described.forecasts is not None
        names = [described.output.name, described.forecasts.output.name]
        embeddings, forecasts = self._session.run(names, self.feed(tokens, lengths, ages))
        return embeddings, forecasts


def open_session(encoder: Encoder, device: Device = "auto") -> EncoderSession:
    """Start an encoder; `auto` takes a GPU where one starts, else the CPU; `cuda` raises DeviceUnavailable there.

    Raises DamagedEncoder where the model file is not the published one.
    """
    check_model_file(encoder)
    session, provider = start_on(encoder.model_path, device)
    described = encoder.manifest
    told = described.forecasts
    more = () if told is None else (told.age, told.output)
    check_signature(encoder.model_path, session, (*described.inputs, described.output, *more))
    return EncoderSession(encoder, provider, session)


def start_on(model: Path, device: Device, output: str | None = None) -> tuple[onnxruntime.InferenceSession, str]:
    """Start a model file on a device, as `open_session` does; return the provider that it really runs on as well.

    `output` names a tensor within the model that it is to give, whether or not it does by itself.
    Raises DeviceUnavailable or EncoderNotRunnable.
    """
    onnxruntime.disable_telemetry_events()  # what a shop computes is nobody else's business
    available = onnxruntime.get_available_providers()
    if device == "cuda" and CUDA not in available:
        raise DeviceUnavailable(device, "the installed onnxruntime has no CUDA provider")
    session = None
    if device == "cuda" or (device == "auto" and CUDA in available and missing_gpu_library() is None):
        try:
            session = started(model, [CUDA, CPU], output)
        except EncoderNotRunnable as error:
            if device == "cuda":
                raise DeviceUnavailable(device, missing_gpu_library() or error.problem) from error
    session = session or started(model, [CPU], output)
    provider = session.get_providers()[0]
    if device == "cuda" and provider != CUDA:
        raise DeviceUnavailable(device, missing_gpu_library() or "ONNX Runtime fell back to the CPU")
    return session, provider


def missing_gpu_library() -> str | None:
    """Return which library keeps the CUDA provider from starting, in the loader's words, or None where all load.

    Asked first, since ONNX Runtime only falls back to the CPU, with a warning.
    """
    _preload()
    driver = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(driver)
    except OSError as error:
        return f"no NVIDIA driver ({error})"
    prefix, suffix = ("", "dll") if sys.platform == "win32" else ("lib", "so")
    folder = Path(onnxruntime.__file__).parent / "capi"
    try:
        for part in ("shared", "cuda"):
            ctypes.CDLL(str(folder / f"{prefix}onnxruntime_providers_{part}.{suffix}"), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        return str(error)
    return None


def _preload() -> None:
    """Load the CUDA libraries that pip installed; it prints what it misses, which is not for our stdout."""
    preload = getattr(onnxruntime, "preload_dlls", None)
    if preload is not None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            preload()


def started(path: Path, providers: list[str], output: str | None = None) -> onnxruntime.InferenceSession:
    """Return a session of one thread for a model file.

    Raises NotOneFile, or EncoderNotRunnable with ONNX Runtime's reason.
    """
    check_one_file(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS
    onnxruntime.set_default_logger_severity(_FATAL)
    try:
        # ONNX Runtime's own way back to the CPU prints to stdout, at the start and in the middle of the work.
        return onnxruntime.InferenceSession(
            str(path) if output is None else with_output(path.read_bytes(), output),
            options,
            [_OPTIONS.get(one, one) for one in providers],
            enable_fallback=0,
        )
    except Exception as error:  # ONNX Runtime's exceptions share no other base
        told = _told(error)
        if "is not a registered function/op" in told:
            raise EncoderNotRunnable(
                path, f"it uses an operator that is not part of ONNX ({told})", _OPERATORS
            ) from error
        raise EncoderNotRunnable(path, told) from error
    finally:
        onnxruntime.set_default_logger_severity(_ERRORS)


def _told(error: Exception) -> str:
    """Return what ONNX Runtime says, on one line and without its codes."""
    told = " ".join(str(error).split())
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", told).rstrip(".")


_OPERATORS = "Export it with the operators of ONNX alone, or with an older opset where the operator is a newer one."

_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}


def signature(session: onnxruntime.InferenceSession) -> dict[str, tuple[str, tuple[int | None, ...]]]:
    """Return name, dtype and shape of the model's inputs and outputs; None is a dimension of any size."""
    return {
        node.name: (
            _DTYPES.get(node.type, node.type),
            tuple(size if isinstance(size, int) else None for size in node.shape),
        )
        for node in (*session.get_inputs(), *session.get_outputs())
    }


def check_signature(
    path: Path, session: onnxruntime.InferenceSession, tensors: Iterable[Tensor], *, gives_more: bool = False
) -> None:
    """Raise EncoderNotRunnable unless the model takes and gives exactly these tensors, as far as it says.

    With `gives_more` it may give others besides.

    A size that the model leaves open may be fixed by the manifest, whose golden rows show it, but not the reverse.
    """
    expected = {tensor.name: tensor for tensor in tensors}
    found = signature(session)
    passed_over = {node.name for node in session.get_outputs()} if gives_more else set()
    for name in (*expected, *(found.keys() - passed_over)):
        if name not in found:
            told = f"the manifest names {name!r}, the model has {', '.join(map(repr, found))}"
        elif name not in expected:
            told = f"the model has {name!r}, of which the manifest says nothing"
        else:
            (kind, sizes), tensor = found[name], expected[name]
            wanted = tuple(size if isinstance(size, int) else None for size in tensor.shape)
            fits = len(sizes) == len(wanted) and all(a is None or a == b for a, b in zip(sizes, wanted, strict=True))
            if kind == tensor.dtype and fits:
                continue
            given = f"{kind}[{', '.join('any' if size is None else str(size) for size in sizes)}]"
            asked = f"{tensor.dtype}[{', '.join(str(size) for size in tensor.shape)}]"
            told = f"{name!r} is {given} in the model and {asked} in the manifest"
        raise EncoderNotRunnable(
            path, told, "Correct the manifest, or write it anew with `sqlseg encoders manifest --replace`."
        )
