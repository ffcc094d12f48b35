"""Tables, figures and a page from studies' saved rows and scores; trains nothing.

examples:
  python report.py results/digits                    tables, figures and report/index.html
  python report.py results/sound results/published   two studies side by side, and their differences
  python report.py results/digits --reproduce TRIAL  the command that makes this trial's row again
  python report.py results/digits --pack             one small file of its scores, to keep

What it writes: index.html, one page with all of it; every table as .md, .csv and .tex (auroc,
auroc_by_*, difference, ranks, comparison, metrics, defects, settings, costs, signals, parts,
tuning_gain, luck, tuning, saved); every figure as .pdf and .svg (auroc, critical_difference,
curve_*, roc, pr, learning, importances, and a histogram and parallel_* for each model);
histogram.csv, all scores of the winners' final runs.
"""

from collections.abc import Sequence

from bench.choices.errors import UserError, note
from bench.choices.flags import path_of
from bench.choices.script import Parser, run_main


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(__doc__, prog="report.py")
    parser.add_argument(
        "studies",
        nargs="+",
        type=path_of,
        metavar="STUDY",
        help="folder of a study, or of a sweep over data sets: results/<study>",
    )
    parser.add_argument(
        "--out",
        type=path_of,
        metavar="DIR",
        help="folder to write to (default: <first folder>/report)",
    )
    parser.add_argument(
        "--reproduce",
        metavar="TRIAL",
        help="only print the command that makes this trial's row again",
    )
    packing = "only move each study's scores into scores.parquet, its epochs into epochs.jsonl.xz"
    parser.add_argument("--pack", action="store_true", help=packing)
    args = parser.parse_args(arguments)
    if args.pack and args.reproduce is not None:
        parser.error("--pack and --reproduce: give one of them")
    if args.out and (args.pack or args.reproduce):
        parser.error("--out: no report is written; leave it out")

    from rich.console import Console

    from bench import results
    from bench.choices.names import legible
    from bench.results.packing import pack

    try:
        from bench.reporting import report, reproduce
    except OSError as error:  # Matplotlib has no folder for its cache; the message says what helps
        raise UserError(str(error)) from None

    studies = {}
    folders = (folder for path in args.studies for folder in results.studies_in(path))
    for path in {folder.resolve(): folder for folder in folders}.values():
        study = results.read(path)
        studies[legible(str(path)) if study.name in studies else study.name] = study
    if args.pack:
        for study in studies.values():
            print(pack(study.path))
        return 0
    if args.reproduce is not None:
        print(reproduce.command_for(studies, args.reproduce))
        return 0
    out = args.out or args.studies[0] / "report"
    report.check_out(out, default_folder=args.out is None)
    if len(args.studies) > 1 and not args.out and (out / "index.html").exists():
        note(f"{legible(str(out))} has a report already, which this one replaces (--out keeps it)")
    with Console(stderr=True).status("reading, drawing and writing …"):  # on a terminal only
        report.report(studies, out, default_folder=args.out is None)
    return 0


if __name__ == "__main__":
    run_main(main)
