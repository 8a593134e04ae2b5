"""The support desk: account status from a database, the policy from the handbook, an answer from just these.

`python docs/examples/support_desk/run.py` starts a cloud with this folder's agents, tools and providers, asks
it one customer's question, and asks again with everything in one prompt, to compare what the two cost.
"""

import json
import os
import random
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
QUESTION = "I am customer C-1042. My parcel is still not here. What do I get, and when?"
CUSTOMERS = 500


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="wayside-desk-") as made:
        folder = Path(made)
        accounts = folder / "accounts.db"
        rows = make_accounts(accounts)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        told = {**os.environ, "DESK_ACCOUNTS_URL": f"sqlite:///{accounts}", "PYTHONPATH": str(ROOT)}
        where = ["--data-dir", str(folder)]
        key = subprocess.run(
            [sys.executable, "-m", "cloud", "keys", "add", "--tenant", "desk-edge", "--role", "edge", *where],
            env=told, cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        files = [f"--{name}-file={HERE / f'{name}.toml'}" for name in ("agents", "tools", "providers")]
        cloud = subprocess.Popen(
            [sys.executable, "-m", "cloud", "--port", str(port), *where, *files],
            env=told, cwd=ROOT, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            headers = {"authorization": f"Bearer {key}", "wayside-tenant": "parcels"}
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False
            ) as client:
                wait_for(client)
                return compare(client, rows)
        finally:
            cloud.terminate()
            cloud.wait(20)


def compare(client: httpx.Client, rows: list[tuple[object, ...]]) -> int:
    handbook = {file.name: file.read_text("utf-8") for file in sorted((HERE / "handbook").glob("*.md"))}
    for name, text in handbook.items():
        memory = {"text": text, "scope": "tenant", "source": name}
        client.post("/v1/memories", json=memory).raise_for_status()

    answer = ask(client, QUESTION, agent="desk")
    run = client.get(f"/v1/runs/{answer.headers['wayside-run']}").raise_for_status().json()
    print(answer.json()["choices"][0]["message"]["content"], "\n")
    for step in run["steps"]:
        asks = f"asks for {', '.join(step['calls'])}" if step.get("calls") else "answers"
        does = asks if step["type"] == "model" else f"is told by {step['tool']}"
        print(f"  {step['number']}. {step['agent']} {does}")

    everything = "\n\n".join([*handbook.values(), json.dumps(rows), QUESTION])
    alone = ask(client, everything, agent="chat").json()["usage"]
    mine = run["usage"]
    saved = 1 - mine["total_tokens"] / alone["total_tokens"]
    print(f"\n  the desk: {mine['total_tokens']} tokens; all in one prompt: {alone['total_tokens']} tokens")
    print(f"  {saved:.0%} fewer, by the script's words ({CUSTOMERS} accounts, {len(handbook)} documents)")
    return 0 if saved > 0 else 1


def ask(client: httpx.Client, text: str, *, agent: str) -> httpx.Response:
    body = {"model": "desk-model", "messages": [{"role": "user", "content": text}]}
    answer = client.post("/v1/chat/completions", json=body, headers={"wayside-agent": agent}, timeout=60)
    return answer.raise_for_status()


def make_accounts(file: Path) -> list[tuple[object, ...]]:
    """Made-up customers; the one who asks is C-1042."""
    chance = random.Random(7)  # noqa: S311  # the same customers each time
    rows: list[tuple[object, ...]] = [("C-1042", "Ines Falk", "Plus", "P-88213", "under way", 9, 180)]
    for number in range(1, CUSTOMERS):
        plan, status = chance.choice(["Basic", "Plus"]), chance.choice(["delivered", "under way"])
        rows.append((f"C-{2000 + number}", f"Customer {number}", plan, f"P-{chance.randrange(10**5):05}",
                     status, chance.randrange(4), chance.randrange(10, 400)))  # fmt: skip
    columns = (
        "customer TEXT, name TEXT, plan TEXT, parcel TEXT, status TEXT, days_late INTEGER, value_eur INTEGER"
    )
    with sqlite3.connect(file) as database:
        database.execute(f"CREATE TABLE accounts ({columns})")
        database.executemany("INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    database.close()
    return rows


def wait_for(client: httpx.Client) -> None:
    for _ in range(600):
        try:
            if client.get("/healthz").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise SystemExit("the cloud did not start")


if __name__ == "__main__":
    sys.exit(main())
