"""The commands of `python -m models`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from cloud.memory.extractor import WEIGHTS_FILE
from edge.adapters.onnx_encoder import Network
from models.reading.bundle import BundleRefused, read_bundle
from models.rows import DataRefused

HERE: Final = Path(__file__).parent
BUNDLES: Final = HERE / "bundles"
PACKS: Final = HERE / "packs"
RUNS: Final = HERE / "runs"
REFUSED: Final = 2


def main(arguments: Sequence[str]) -> int:
    """Runs one command; 2 when a data file or bundle is refused, with one line that says why."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (DataRefused, BundleRefused) as refused:
        print(refused, file=sys.stderr)
        return REFUSED
    return 0


def _evaluate(options: argparse.Namespace) -> None:
    from models.evaluate import evaluate
    from models.rows import read_intents
    from models.tables import head_lines

    network = Network(read_bundle(options.bundle))
    head = network.bundle.manifest.head(options.head)
    rows = read_intents(options.data)
    report = evaluate(network, head, rows, path=options.data, with_predictions=options.predictions)
    _show(report, head_lines(report), as_json=options.json)


def _evaluate_routing(options: argparse.Namespace) -> None:
    from models.routing import evaluate_routing
    from models.rows import read_routing
    from models.tables import routing_lines

    network = Network(read_bundle(options.bundle))
    report = evaluate_routing(network, read_routing(options.data), path=options.data)
    _show(report, routing_lines(report), as_json=options.json)


def _fit(options: argparse.Namespace) -> None:
    from models.fit import fit, read_examples, write_bundle
    from models.report import render
    from models.strangers import strangers

    rows = read_examples(options.routes)
    if options.finetune:
        from models.finetune import finetune

        finetune(rows, name=options.out.name, out=options.out, run=RUNS / options.out.name)
        return
    base = Network(read_bundle(options.base))
    fitted = fit(base, rows, strangers())
    write_bundle(base, fitted, options.out.name, options.out)
    print(msgspec.json.encode(fitted.report).decode() if options.json else render(fitted.report))


def _train(options: argparse.Namespace) -> None:
    from models.stages import train_stage

    train_stage(
        options.pack,
        options.run_name,
        recipe=options.recipe,
        start=options.start,
        taught=options.taught,
        member=options.member,
    )


def _distill(options: argparse.Namespace) -> None:
    from models.stages import distill_stage

    distill_stage(options.pack)


def _export(options: argparse.Namespace) -> None:
    from models.stages import export_stage

    export_stage(options.pack, options.run_name, out=options.out)


def _verifier(options: argparse.Namespace) -> None:
    from models.verifier import BUNDLE, calibrate_stage, export_stage, train_stage

    match options.stage:
        case "train":
            train_stage(with_quora=not options.without_quora)
        case "export":
            export_stage(options.out or BUNDLE)
        case _:
            calibrate_stage(options.out or BUNDLE)


def _ranker(options: argparse.Namespace) -> None:
    from models.dataset import data_directory
    from models.ranker import fit_ranker

    network = Network(read_bundle(BUNDLES / "general"))
    output = network.bundle.manifest.embedding.output
    fit_ranker(data_directory(), lambda text: network.read(text).outputs[output])


def _extractor(options: argparse.Namespace) -> None:
    from models.dataset import data_directory
    from models.extractor import fit_extractor

    fitted = fit_extractor(options.data or data_directory(), options.out)
    print(fitted.source)


def _table(options: argparse.Namespace) -> None:
    from models.bars import print_table

    print_table(quick=options.quick)


def _check(options: argparse.Namespace) -> None:
    from models.leakage import check

    check(options.against)


def _show(report: msgspec.Struct, lines: str, *, as_json: bool) -> None:
    print(msgspec.json.encode(report).decode() if as_json else lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser("evaluate", help="measure a head on rows {text, intent}")
    one.add_argument("--bundle", type=Path, required=True)
    one.add_argument("--head", default="route")
    one.add_argument(
        "--data", type=Path, required=True, help=".jsonl or .jsonl.gz; intent `oos` is out of scope"
    )
    one.add_argument("--json", action="store_true", help="one JSON object")
    one.add_argument("--predictions", action="store_true", help="with --json, every row's label in order")
    one.set_defaults(run=_evaluate)

    one = commands.add_parser("evaluate-routing", help="measure complexity on rows {prompt, weak, strong}")
    one.add_argument("--bundle", type=Path, default=BUNDLES / "general")
    one.add_argument("--data", type=Path, required=True)
    one.add_argument("--json", action="store_true")
    one.set_defaults(run=_evaluate_routing)

    one = commands.add_parser("fit", help="a head for your own intents, without a GPU")
    one.add_argument("--routes", type=Path, required=True, help="a route table in TOML, or JSONL rows")
    one.add_argument("--out", type=Path, required=True, help="folder of the new bundle")
    one.add_argument("--base", type=Path, default=BUNDLES / "general")
    one.add_argument("--finetune", action="store_true", help="train the encoder too: slow, better")
    one.add_argument("--json", action="store_true")
    one.set_defaults(run=_fit)

    one = commands.add_parser("train", help="train a pack's network")
    one.add_argument("pack")
    one.add_argument("--run", dest="run_name", help="name of the run; default PACK-plain")
    one.add_argument("--recipe", default="recipe.toml", help="file in the pack's folder")
    one.add_argument("--start", help="run whose weights to begin with")
    one.add_argument("--member", type=int, default=0, help="which network of the recipe's ensemble")
    one.add_argument("--taught", action="store_true", help="learn from the labels `distill` wrote")
    one.set_defaults(run=_train)

    one = commands.add_parser("distill", help="train the teachers, then a student on their labels")
    one.add_argument("pack")
    one.set_defaults(run=_distill)

    one = commands.add_parser("export", help="turn a run into an int8 bundle")
    one.add_argument("pack")
    one.add_argument("--run", dest="run_name", help="default PACK-student, else PACK-plain")
    one.add_argument("--out", type=Path, help="folder of the bundle; default models/bundles/PACK")
    one.set_defaults(run=_export)

    one = commands.add_parser("verifier", help="train or export the network that reads two questions")
    one.add_argument("stage", choices=("train", "export", "calibrate"))
    one.add_argument("--without-quora", action="store_true", help="train on written and edited pairs alone")
    one.add_argument("--out", type=Path, help="folder of the bundle; default models/bundles/verifier")
    one.set_defaults(run=_verifier)

    one = commands.add_parser("ranker", help="fit the ranker of long-term memory to QMSum")
    one.set_defaults(run=_ranker)

    one = commands.add_parser("extractor", help="fit the sentence extractor of summaries to QMSum")
    one.add_argument("--data", type=Path, help="folder that has `qmsum`; default the data directory")
    one.add_argument("--out", type=Path, default=WEIGHTS_FILE, help="default: %(default)s")
    one.set_defaults(run=_extractor)

    one = commands.add_parser("table", help="measure every bar of the shipped bundles")
    one.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    one.set_defaults(run=_table)

    one = commands.add_parser("check", help="fail when a training text stands in an evaluation file")
    one.add_argument("against", type=Path, nargs="*", help="further evaluation files, .jsonl or .jsonl.gz")
    one.set_defaults(run=_check)
    return parser
