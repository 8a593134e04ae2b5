"""Follows a bundle's manifest on disk and lets the encoder read the new bundle when it changes."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from edge.adapters.onnx_encoder import OnnxEncoder
from models.reading.bundle import MANIFEST, BundleRefused

_RECHECK_S = 1.0


async def follow_bundle(
    encoder: OnnxEncoder,
    folder: Path,
    *,
    told: Callable[[str | None, str], None],
    recheck_s: float = _RECHECK_S,
) -> None:
    """Runs until it is cancelled.

    Whoever replaces a bundle writes the manifest last: its change is the signal. A refused bundle changes
    nothing; `told` hears why (None when all is well), and which bundle is served.
    """
    stamp = _stamp(folder)
    while True:
        await asyncio.sleep(recheck_s)
        found = _stamp(folder)
        if found == stamp:
            continue
        stamp = found
        try:
            await encoder.replace(folder)
        except BundleRefused as error:
            told(str(error), encoder.identity)
        else:
            told(None, encoder.identity)


def _stamp(folder: Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(folder / MANIFEST)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
