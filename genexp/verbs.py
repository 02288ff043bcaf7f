"""Verbs whose words genexp reads itself. Only what a verb needs is imported, when it is needed."""

from genexp.task import console


def repeat(arguments: list[str]) -> None:
    from genexp.command_line import literal_names, without_config_dir
    from genexp.hydra_words import as_meant
    from genexp.record.errors import Parser

    parser = Parser(
        prog="genexp repeat",
        description="Train a recorded run anew, with the config in its folder, and compare the results with its own.",
        epilog="example: genexp repeat outputs/x name=again trainer=cpu",
    )
    parser.add_argument("folder", help="a run folder")
    parser.add_argument("overrides", nargs="*", help="key=value, e.g. name=again (outputs/again) or seed=1")
    options = parser.parse_intermixed_args(without_config_dir(arguments))
    from genexp.runs.from_folder import repeat as repeat_run

    repeat_run(options.folder, literal_names(as_meant("train", [], options.overrides)), console())


def wandb(arguments: list[str]) -> None:
    from genexp.tracking.verbs import main

    main(arguments, console())


def published(arguments: list[str]) -> None:
    from genexp.record.errors import Parser

    parser = Parser(
        prog="genexp published",
        description="The ledger of published numbers: every config in conf/experiment with a `published` block, and "
        "what was reproduced of it.",
        epilog="example: genexp published     then: genexp train experiment=made_uci_dna",
    )
    parser.add_argument("--config-dir", metavar="DIR", help="also read DIR/experiment/*.yaml")
    options = parser.parse_args(arguments)
    from genexp.reports.ledger import published as show

    show(options.config_dir, console())


def list_options(arguments: list[str]) -> None:
    from genexp.catalogue.listing import main
    from genexp.command_line import without_config_dir

    main(without_config_dir(arguments), console())


def info(arguments: list[str]) -> None:
    from genexp.catalogue.information import main
    from genexp.command_line import without_config_dir

    main(without_config_dir(arguments), console())


def shards(arguments: list[str]) -> None:
    from genexp.command_line import without_config_dir
    from genexp.shards import main

    main(without_config_dir(arguments), console())
