"""The shipped example, as a new user would run it."""

import subprocess
import sys

from tests.system.test_commands import PATIENCE_S, ROOT, environment


def test_the_support_desk_answers_from_the_account_and_the_policy_with_fewer_tokens_than_all_of_both() -> (
    None
):
    done = subprocess.run(
        [sys.executable, "docs/examples/support_desk/run.py"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    assert "late_parcels.md#Plus customers" in done.stdout
    assert "is told by query_database__accounts" in done.stdout
    assert "fewer" in done.stdout
