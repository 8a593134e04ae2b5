"""The commands measure and fit with nothing but what an edge node has installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge.adapters.onnx_encoder import Network
from models.commands import main
from models.reading.bundle import read_bundle

ROOT = Path(__file__).parents[2]
GENERAL = ROOT / "models" / "bundles" / "general"

ROUTES = """
[intents.balance]
examples = ["what is my balance", "how much money do I have", "show my account balance",
            "balance please", "tell me what is left on my account"]
[intents.lost_card]
examples = ["I lost my card", "my card is gone", "someone stole my card", "I cannot find my card",
            "my bank card was stolen yesterday"]
[intents.transfer]
examples = ["send money to a friend", "make a transfer", "I want to wire 200 dollars",
            "transfer funds to my savings", "pay my landlord by transfer"]
"""


def jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fit")
    (folder / "routes.toml").write_text(ROUTES, encoding="utf-8")
    assert main(["fit", "--routes", str(folder / "routes.toml"), "--out", str(folder / "bank")]) == 0
    return folder / "bank"


def test_evaluate_prints_one_object_with_the_agreed_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = jsonl(
        tmp_path / "rows.jsonl",
        [
            {"text": "write a haiku about rain", "intent": "writing"},
            {"text": "fix this python error: list index out of range", "intent": "coding"},
            {"text": "hi, how are you?", "intent": "smalltalk"},
            {"text": "sdkfj sdkfj wer", "intent": "oos"},
        ],
    )
    command = ["evaluate", "--bundle", str(GENERAL), "--head", "route", "--data", str(data), "--json"]
    assert main([*command, "--predictions"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report.keys() >= {
        "n", "accuracy", "macro_f1", "oos_recall_at_95", "oos_auroc", "ece", "p50_ms", "p99_ms", "noise_accuracy",
    }  # fmt: skip
    assert report["n"] == 4
    assert report["predictions"][:3] == ["writing", "coding", "smalltalk"]


def test_evaluate_without_out_of_scope_rows_leaves_those_figures_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = jsonl(tmp_path / "rows.jsonl", [{"text": "write a haiku", "intent": "writing"}])
    assert main(["evaluate", "--bundle", str(GENERAL), "--data", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["oos_auroc"] is None


def test_evaluate_routing_prints_an_interval_and_baselines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[dict[str, object]] = [
        {"prompt": f"What is {index} times {index + 1}? Explain.", "weak": index % 2, "strong": 1}
        for index in range(30)
    ]
    assert main(["evaluate-routing", "--data", str(jsonl(tmp_path / "r.jsonl", rows)), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report.keys() >= {"n", "apgr", "apgr_low", "apgr_high", "baselines"}
    assert report["apgr_low"] <= report["apgr"] <= report["apgr_high"]
    assert report["baselines"].keys() == {"random", "length", "tfidf"}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"text": "x"}', "line 1"),
        ('{"text": "x", "intent": "no_such_task"}', "line 1: intent 'no_such_task'"),
    ],
)
def test_a_refused_file_ends_with_code_2_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, said: str
) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text(row + "\n", encoding="utf-8")
    assert main(["evaluate", "--bundle", str(GENERAL), "--data", str(data)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_fitted_bundle_is_served_by_the_same_network(fitted: Path) -> None:
    network = Network(read_bundle(fitted))
    asked = network.encode("my card was stolen on the train")
    assert asked.classification.intent == "lost_card"
    base = Network(read_bundle(GENERAL)).encode("my card was stolen on the train")
    assert asked.embedding @ base.embedding == pytest.approx(1.0, abs=1e-5)
    assert asked.injection == pytest.approx(base.injection, abs=1e-6)
    assert asked.bundle != base.bundle


def test_a_fitted_bundle_knows_what_it_was_not_told(fitted: Path) -> None:
    network = Network(read_bundle(fitted))
    known = network.encode("show me the balance of my account").classification.out_of_scope
    unknown = network.encode("who painted the ceiling of the Sistine Chapel?").classification.out_of_scope
    assert known < 0.5 < unknown


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('[intents.one]\nexamples = ["a", "b"]\n', "line 1: intent 'one' has 2 example"),
        ("[intents.one\n", "routes.toml"),
        ("", "line 1: fewer than two"),
    ],
)
def test_a_route_table_that_cannot_be_fitted_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str, said: str
) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text(table, encoding="utf-8")
    assert main(["fit", "--routes", str(routes), "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err


def test_a_mislabelled_example_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, object]] = []
    for index, city in enumerate(("Rome", "Oslo", "Lima", "Cairo", "Delhi", "Tokyo", "Quito", "Paris")):
        rows.append({"text": f"what will the weather be like in {city}", "intent": "weather"})
        rows.append({"text": f"is it going to rain in {city} on day {index}", "intent": "weather"})
        rows.append({"text": f"play some jazz by the {city} trio", "intent": "music"})
        rows.append({"text": f"put on the song {city} nights", "intent": "music"})
    rows.append({"text": "will the weather be sunny in Athens", "intent": "music"})
    data = jsonl(tmp_path / "rows.jsonl", rows)
    assert main(["fit", "--routes", str(data), "--out", str(tmp_path / "out"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [doubt["text"] for doubt in report["doubts"]] == ["will the weather be sunny in Athens"]


def test_measuring_and_fitting_import_no_training_library() -> None:
    source = (
        "import sys, models.commands, models.evaluate, models.routing, models.fit, models.tables, models.strangers\n"
        "sys.exit(bool({'torch', 'transformers', 'optimum', 'onnx', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", source], cwd=ROOT, check=False).returncode == 0
