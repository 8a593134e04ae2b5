"""A neighbour that was killed is seen to be dead, one that lives or is stopped is not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from cloud.adapters.processes import Processes

LIVES = """
import sys, time
from pathlib import Path
from cloud.adapters.processes import Processes
print(Processes(Path(sys.argv[1])).name, flush=True)
time.sleep(60)
"""


def test_a_neighbour_is_alive_until_it_is_killed(tmp_path: Path) -> None:
    here = Processes(tmp_path)
    with subprocess.Popen([sys.executable, "-c", LIVES, str(tmp_path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        name = child.stdout.readline().decode().strip()
        assert here.is_alive(name) is True
        os.kill(child.pid, signal.SIGSTOP)
        assert here.is_alive(name) is True
        child.kill()
        child.wait()
        assert here.is_alive(name) is False
    here.close()


def test_of_a_process_that_never_shared_the_folder_nothing_is_known(tmp_path: Path) -> None:
    here, elsewhere = Processes(tmp_path / "here"), Processes(tmp_path / "elsewhere")
    assert here.is_alive(elsewhere.name) is None
    here.close()
    elsewhere.close()


def test_files_of_the_dead_do_not_pile_up_and_the_living_keep_theirs(tmp_path: Path) -> None:
    living = Processes(tmp_path)
    for number in range(150):
        Processes(tmp_path).close()
        os.utime(tmp_path / f"{living.name}.lock", (number, number))  # the oldest of all
    last = Processes(tmp_path)
    assert len(list(tmp_path.glob("*.lock"))) == 102
    assert last.is_alive(living.name) is True
    living.close()
    last.close()
