from bench.choices.script import Parser, run_main
from bench.reporting import documents


def main() -> int:
    flags = Parser(prog="python -m bench.reporting.documents", description=documents.__doc__)
    flags.add_argument("--site", action="store_true", help="write docs/index.html instead")
    if flags.parse_args().site:
        documents.site()
        return 0
    for document in documents.DOCUMENTS:
        document.write_text(documents.filled(document.read_text()))
    return 0


run_main(main)
