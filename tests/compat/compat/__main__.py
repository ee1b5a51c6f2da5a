"""The command: reads what it is asked, gathers the exchanges, has them, tells."""

import argparse
import os
import sys
from fnmatch import fnmatchcase
from pathlib import Path

from . import probes, recordings, report
from .allow import AllowList
from .client import Client, Server
from .contract import Contract
from .exchange import Exchange
from .judge import Judge
from .kinds import AUDIO, PLAIN, REASONING, SEARCH, model_kind
from .openapi import Document
from .recordings import Limits, Models, Recording
from .runner import Against, Runner

PROJECT = Path(__file__).resolve().parents[3]
SHARED = PROJECT.parent / "shared"


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/compat/run.sh", description="How a server differs from the OpenAI API, by shape.")
    parser.add_argument("--base-url", required=True, help="as an SDK takes it, with or without /v1")
    parser.add_argument("--key", required=True)
    parser.add_argument("--model", required=True, help="the model that chats")
    parser.add_argument("--completion-model", help="the model of /v1/completions, by default the one that chats")
    parser.add_argument("--embedding-model", help="without it, what needs one is not applicable")
    parser.add_argument("--model-kind", choices=[PLAIN, REASONING, SEARCH, AUDIO], help="by default what the model's name says")
    parser.add_argument("--recordings", type=Path, help="folder of recorded exchanges; by default ../shared/openai-recorded")
    parser.add_argument("--no-recordings", action="store_true", help="only the suite's own probes")
    parser.add_argument("--openapi", type=Path, help="OpenAI's OpenAPI document; by default ../shared/openai-openapi/openapi.yaml")
    parser.add_argument("--against", metavar="URL", help="compare with this server instead of with OpenAI's recordings")
    parser.add_argument("--against-key", default="")
    parser.add_argument("--against-model")
    parser.add_argument("--against-completion-model")
    parser.add_argument("--against-embedding-model")
    parser.add_argument("--max-tokens", type=int, default=64, help="for recorded requests without a limit")
    parser.add_argument("--cap-tokens", type=int, help="also lowers higher limits, for slow machines")
    parser.add_argument("--concurrency", type=int, default=3, choices=range(1, 9), metavar="1..8")
    parser.add_argument("--timeout", type=float, default=120, help="seconds without a byte")
    parser.add_argument("--only", metavar="PATTERN", help="exchanges whose name matches: 'chat/*', '*-stream-*'")
    parser.add_argument("--allow", type=Path, help="an allow-list beside tests/compat/allow.yaml")
    parser.add_argument("--json", type=Path, help="write the results here too")
    parser.add_argument("-v", "--verbose", action="store_true", help="also what the allow-list allows")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    contract = Contract()
    try:
        recorded = _recorded(args)
        document = _document(args)
    except FileNotFoundError as error:
        print(f"compat: {error}", file=sys.stderr)
        return 2
    learned = recordings.learn(contract, recorded)
    limits = Limits(args.max_tokens, args.cap_tokens)

    models = Models(args.model, args.completion_model, args.embedding_model)
    client = Client(Server(args.base_url, args.key), args.timeout)
    judge = Judge(contract, learned, args.model_kind or model_kind(args.model))
    exchanges = _exchanges(recorded, models, limits, args.only)
    if not exchanges:
        print("compat: no exchange has that name", file=sys.stderr)
        return 2

    against = None
    if args.against:
        other = Models(
            args.against_model or args.model,
            args.against_completion_model or args.completion_model,
            args.against_embedding_model or args.embedding_model,
        )
        against = Against(
            Client(Server(args.against, args.against_key or args.key), args.timeout),
            Judge(contract, learned, model_kind(other.chat)),
            {exchange.name: exchange for exchange in _exchanges(recorded, other, limits, args.only)},
        )

    allow = AllowList.read(*([args.allow] if args.allow else []))
    progress = report.Progress(len(exchanges))
    results = Runner(client, judge, allow, document, against).run(exchanges, args.concurrency, progress.told)
    unused = [] if args.only or against else allow.unused()
    score = report.tell(results, unused, "other" if against else "OpenAI", args.verbose)
    if args.json:
        report.write_json(results, score, args.json)
    return 1 if score.divergent or not score.judged else 0


def _exchanges(recorded: list[Recording], models: Models, limits: Limits, only: str | None) -> list[Exchange]:
    found = probes.load(models, limits) + [recordings.exchange(recording, models, limits) for recording in recorded]
    return [exchange for exchange in found if only is None or fnmatchcase(exchange.name, only)]


def _recorded(args: argparse.Namespace) -> list[Recording]:
    if args.no_recordings:
        return []
    folder = args.recordings or SHARED / "openai-recorded"
    found = recordings.load(folder) if folder.is_dir() else []
    if not found:
        _missing("REPLAYS ARE SKIPPED: no recordings", folder, wanted=args.recordings is not None)
    return found


def _document(args: argparse.Namespace) -> Document | None:
    path = args.openapi or SHARED / "openai-openapi" / "openapi.yaml"
    if path.is_file():
        return Document(path)
    _missing("THE OPENAPI DOCUMENT IS SKIPPED: it is not", path, wanted=args.openapi is not None)
    return None


def _missing(what: str, path: Path, wanted: bool) -> None:
    """Loud on a laptop; a failure where it was asked for, and in CI, where nothing may be skipped unseen."""
    if wanted or os.environ.get("CI"):
        raise FileNotFoundError(f"{what} in {path}")
    print(f"==================== compat: {what} in {path} ====================", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
