"""What a run tells: progress while it runs, each divergence with both sides, a table, and the score."""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from .allow import Entry
from .exchange import Verdict
from .runner import Result

COLUMNS = (Verdict.PASSED, Verdict.ALLOWED, Verdict.REFUSED, Verdict.NOT_APPLICABLE, Verdict.FAILED)
EVERY = 25


class Progress:
    """A bar on a terminal, and a line now and then elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._out: TextIO = sys.stderr
        self._done = 0
        self._failed = 0

    def told(self, result: Result) -> None:
        self._done += 1
        self._failed += result.verdict is Verdict.FAILED
        last = self._done == self._total
        if self._out.isatty():
            width = 30 * self._done // max(self._total, 1)
            text = f"\r[{'#' * width}{'.' * (30 - width)}] {self._done}/{self._total}, {self._failed} divergent"
            self._out.write(text + ("\n" if last else ""))
            self._out.flush()
        elif last or self._done % EVERY == 0:
            self._out.write(f"compat: {self._done} of {self._total} exchanges, {self._failed} divergent\n")
            self._out.flush()


@dataclass(frozen=True)
class Score:
    judged: int
    same: int
    allowed: int
    divergent: int
    skipped: int

    @classmethod
    def of(cls, results: Iterable[Result]) -> "Score":
        verdicts = [result.verdict for result in results]
        same = verdicts.count(Verdict.PASSED) + verdicts.count(Verdict.REFUSED)
        skipped = verdicts.count(Verdict.NOT_APPLICABLE)
        return cls(len(verdicts) - skipped, same, verdicts.count(Verdict.ALLOWED), verdicts.count(Verdict.FAILED), skipped)

    def lines(self) -> list[str]:
        share = 100 * self.same / self.judged if self.judged else 0.0
        return [
            f"compat: {self.same} of {self.judged} exchanges indistinguishable ({share:.1f} %), "
            f"{self.allowed} allowed, {self.divergent} divergent",
            f"{self.same + self.allowed} passed, {self.divergent} failed, {self.skipped} skipped",
        ]


def tell(results: list[Result], unused: list[Entry], other: str, verbose: bool) -> Score:
    """`other` names the side that is compared with: OpenAI, or the other server."""
    out = sys.stdout
    for result in results:
        if result.verdict is Verdict.FAILED or (verbose and result.allowed):
            covers = f" [{', '.join(result.exchange.covers)}]" if result.exchange.covers else ""
            print(f"\n{result.exchange.name}{covers}: {result.verdict.value}", file=out)
            for divergence in result.divergences:
                print(f"  {divergence.path}\n    {other:11} {divergence.openai}\n    this server {divergence.server}", file=out)
            for divergence, reason in result.allowed:
                print(f"  {divergence.path}: allowed, {reason}", file=out)
    _same_everywhere(results, out)
    _listed("refused, as OpenAI refuses it for models that cannot", Verdict.REFUSED, results, out)
    _listed("not applicable", Verdict.NOT_APPLICABLE, results, out)
    for entry in unused:
        print(f"\nallow.yaml: nothing needs the entry {entry.exchange} {entry.path} ({entry.reason})", file=out)
    _table(results, out)
    score = Score.of(results)
    print("", *score.lines(), sep="\n", file=out)
    return score


def write_json(results: list[Result], score: Score, path: Path) -> None:
    stored: dict[str, Any] = {
        "exchanges": score.judged,
        "indistinguishable": score.same,
        "allowed": score.allowed,
        "divergent": score.divergent,
        "not_applicable": score.skipped,
        "results": [
            {
                "name": result.exchange.name,
                "endpoint": result.exchange.request.endpoint,
                "covers": list(result.exchange.covers),
                "verdict": result.verdict.value,
                "reason": result.reason,
                "seconds": result.seconds,
                "divergences": [{"path": d.path, "openai": d.openai, "server": d.server} for d in result.divergences],
                "allowed": [{"path": d.path, "openai": d.openai, "server": d.server, "reason": r} for d, r in result.allowed],
            }
            for result in results
        ],
    }
    path.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _same_everywhere(results: list[Result], out: TextIO) -> None:
    """What many exchanges have in common is one cause: said once more, most frequent first."""
    names: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for divergence in result.divergences:
            names.setdefault((divergence.place, divergence.openai), []).append(result.exchange.name)
    frequent = sorted(((len(found), place, wanted) for (place, wanted), found in names.items() if len(found) > 2), reverse=True)
    if frequent:
        print("\ndivergences that several exchanges share:", file=out)
    for count, place, wanted in frequent:
        print(f"  {count:4} x {place}: expected {wanted}", file=out)


def _listed(title: str, verdict: Verdict, results: list[Result], out: TextIO) -> None:
    found = [result for result in results if result.verdict is verdict]
    if found:
        print(f"\n{title}:", file=out)
    reasons: dict[str, list[str]] = {}
    for result in found:
        reasons.setdefault(result.reason, []).append(result.exchange.name)
    for reason, names in reasons.items():
        print(f"  {reason}: {', '.join(names)}", file=out)


def _table(results: list[Result], out: TextIO) -> None:
    titles = ("endpoint", "exchanges", *(column.value for column in COLUMNS))
    rows = []
    for endpoint in ("chat", "completions", "embeddings", "models", "responses", "other"):
        verdicts = [result.verdict for result in results if result.exchange.request.endpoint == endpoint]
        if verdicts:
            rows.append((endpoint, str(len(verdicts)), *(str(verdicts.count(column)) for column in COLUMNS)))
    widths = [max(len(row[i]) for row in (titles, *rows)) for i in range(len(titles))]
    print("", file=out)
    for row in (titles, *rows):
        print(
            "  ".join(f"{cell:<{w}}" if i == 0 else f"{cell:>{w}}" for i, (cell, w) in enumerate(zip(row, widths, strict=True))),
            file=out,
        )
