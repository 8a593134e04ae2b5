"""The check of the images sees what must not be inside."""

from pathlib import Path

import pytest

from deploy.check_images import NO_PROGRAM, belongs


@pytest.mark.parametrize(
    "program", ["gcc", "gcc-12", "x86_64-linux-gnu-g++-12", "cc", "pip3.11", "pytest", "py.test", "mypy"]
)
def test_a_compiler_or_test_tool_is_recognised(program: str) -> None:
    assert NO_PROGRAM.fullmatch(program)


@pytest.mark.parametrize("program", ["python3.11", "ldd", "ldconfig", "bash", "cp", "gpasswd", "mkdir"])
def test_what_debian_cannot_do_without_is_allowed(program: str) -> None:
    assert not NO_PROGRAM.fullmatch(program)


@pytest.mark.parametrize(
    ("image", "path", "is_allowed"),
    [
        ("edge", "/app/edge/app.py", True),
        ("edge", "/app/edge/__pycache__/app.cpython-311.pyc", True),
        ("edge", "/app/cloud/__init__.py", True),
        ("edge", "/app/cloud/__pycache__/__init__.cpython-311.pyc", True),
        ("edge", "/app/cloud/wire/service/server.py", True),
        ("edge", "/app/cloud/app.py", False),
        ("edge", "/app/cloud/__pycache__/app.cpython-311.pyc", False),
        ("edge", "/app/cloud/providers/__init__.py", False),
        ("edge", "/app/requirements-edge.lock", False),
        ("cloud", "/app/cloud/providers/local.py", True),
        ("cloud", "/app/edge/app.py", False),
    ],
)
def test_an_image_holds_its_own_code_and_no_other(image: str, path: str, is_allowed: bool) -> None:
    assert belongs(image, Path(path)) is is_allowed
