"""The kill rate: every mutation of a recorded answer is caught."""

import as_sent
from compat import recordings
from compat.contract import Contract
from compat.exchange import Verdict
from compat.judge import Judge
from compat.recordings import Recording
from mutations import MUTATIONS, STREAM_N, TEXT, body, chunks


def test_every_mutation_is_caught(contract: Contract, recorded: list[Recording]) -> None:
    by_name = {recording.name: recording for recording in recorded}
    survivors = []
    for mutation in MUTATIONS:
        recording = by_name[mutation.recording]
        exchange = recordings.as_recorded(recording)
        judge = Judge(contract, None, recording.model_kind)
        sent = as_sent.answer(contract, exchange, recording)
        assert judge.judge(exchange, sent).verdict is Verdict.PASSED, mutation.recording
        mutant = mutation.apply(sent)
        assert mutant != sent, f"{mutation.name} changes nothing"
        if judge.judge(exchange, mutant).verdict is not Verdict.FAILED:
            survivors.append(mutation.name)
    killed = len(MUTATIONS) - len(survivors)
    print(f"\nmutations: {killed} of {len(MUTATIONS)} caught ({100 * killed / len(MUTATIONS):.0f} %)")
    assert not survivors
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS) >= 60


def test_putting_an_answer_together_again_changes_nothing(contract: Contract, recorded: list[Recording]) -> None:
    """Otherwise the mutations could be caught for how they are made."""
    by_name = {recording.name: recording for recording in recorded}
    for mutation in (body("unchanged", TEXT, lambda _: None), chunks("unchanged", STREAM_N, lambda _: None)):
        recording = by_name[mutation.recording]
        exchange = recordings.as_recorded(recording)
        sent = mutation.apply(as_sent.answer(contract, exchange, recording))
        assert Judge(contract, None, recording.model_kind).judge(exchange, sent).verdict is Verdict.PASSED
