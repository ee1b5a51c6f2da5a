"""Has all exchanges with the server, a few at a time, and judges each."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock

from . import live
from .allow import AllowList
from .client import Client, NoAnswer
from .divergence import Divergence, merged
from .exchange import Answer, Exchange, Verdict
from .judge import Judge, Judgement
from .openapi import Document


@dataclass(frozen=True)
class Result:
    exchange: Exchange
    verdict: Verdict
    # Those that no entry of the allow-list covers.
    divergences: list[Divergence]
    # Those that one does, each with its reason.
    allowed: list[tuple[Divergence, str]]
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Against:
    """The other server of a live comparison. An exchange with it differs in the models' names only."""

    client: Client
    judge: Judge
    exchanges: dict[str, Exchange]


class Runner:
    def __init__(self, client: Client, judge: Judge, allow: AllowList, document: Document | None, against: Against | None) -> None:
        self.client = client
        self.judge = judge
        self.allow = allow
        self.document = document
        self.against = against
        self._lock = Lock()

    def run(self, exchanges: Iterable[Exchange], concurrency: int, told: Callable[[Result], None]) -> list[Result]:
        """The results in the order of the exchanges; `told` is called for each as soon as it is there, from one thread at a time."""

        def one(exchange: Exchange) -> Result:
            began = time.monotonic()
            result = replace(self.have(exchange), seconds=round(time.monotonic() - began, 3))
            with self._lock:
                told(result)
            return result

        with ThreadPoolExecutor(concurrency) as pool:
            return list(pool.map(one, exchanges))

    def have(self, exchange: Exchange) -> Result:
        if exchange.not_applicable:
            return Result(exchange, Verdict.NOT_APPLICABLE, [], [], exchange.not_applicable)
        if exchange.vendor and self.client.server.is_openai:
            return Result(exchange, Verdict.NOT_APPLICABLE, [], [], "a vendor extension")
        try:
            answer = self.client.send(exchange.request)
        except NoAnswer as error:
            return self._allowed(
                exchange, Judgement(Verdict.FAILED, [Divergence("status", str(exchange.expected.status), str(error))])
            )
        judgement = self.judge.judge(exchange, answer)
        if self.against is not None:
            judgement = self._live(exchange, answer, judgement)
        elif self.document is not None and answer.status == 200 and judgement.verdict in (Verdict.PASSED, Verdict.FAILED):
            judgement = self._documented(exchange, answer, judgement)
        return self._allowed(exchange, judgement)

    def _documented(self, exchange: Exchange, answer: Answer, judgement: Judgement) -> Judgement:
        assert self.document is not None
        values = list(judgement.chunks) if exchange.request.streams else [answer.json]
        with self._lock:
            found = list(self.document.compare(exchange.request, values))
        # What the contract says is not said twice.
        told = {divergence.place for divergence in judgement.divergences}
        return _with(judgement, [d for d in found if d.place.removeprefix("openapi.") not in told])

    def _live(self, exchange: Exchange, answer: Answer, judgement: Judgement) -> Judgement:
        assert self.against is not None
        other = self.against.exchanges[exchange.name]
        if other.not_applicable or (other.vendor and self.against.client.server.is_openai):
            return Judgement(Verdict.NOT_APPLICABLE, [], other.not_applicable or "a vendor extension")
        try:
            theirs = self.against.client.send(other.request)
        except NoAnswer as error:
            return Judgement(Verdict.FAILED, [Divergence("live.status", str(error), str(answer.status))])
        their = self.against.judge.judge(other, theirs)
        if exchange.needs and Verdict.REFUSED in (judgement.verdict, their.verdict):
            return Judgement(Verdict.NOT_APPLICABLE, [], f"one of the two has no {' and '.join(sorted(exchange.needs))}")
        if exchange.expected.status == 200:
            for server, judged in (("this server", judgement), ("the other server", their)):
                if judged.verdict is Verdict.NOT_APPLICABLE:
                    return Judgement(Verdict.NOT_APPLICABLE, [], f"{server}: {judged.reason}")
        found = list(live.compare(exchange.request, answer, theirs, judgement, their))
        return Judgement(Verdict.FAILED if found else Verdict.PASSED, merged(found))

    def _allowed(self, exchange: Exchange, judgement: Judgement) -> Result:
        with self._lock:
            reasons = [(divergence, self.allow.reason(exchange.name, divergence)) for divergence in judgement.divergences]
        left = [divergence for divergence, reason in reasons if reason is None]
        allowed = [(divergence, reason) for divergence, reason in reasons if reason is not None]
        verdict = judgement.verdict
        if verdict is Verdict.FAILED and not left:
            verdict = Verdict.ALLOWED
        return Result(exchange, verdict, left, allowed, judgement.reason)


def _with(judgement: Judgement, found: list[Divergence]) -> Judgement:
    if not found:
        return judgement
    return replace(judgement, verdict=Verdict.FAILED, divergences=judgement.divergences + merged(found))
