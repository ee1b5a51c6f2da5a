"""Every recording's own answer, fed to the judge as a server's, passes."""

import pytest

import as_sent
from compat import recordings
from compat.contract import Contract, Learned
from compat.exchange import Verdict
from compat.judge import Judge
from compat.recordings import Recording


@pytest.mark.parametrize("with_learned", [True, False], ids=["learned", "contract alone"])
def test_every_recording_passes(contract: Contract, learned: Learned, recorded: list[Recording], with_learned: bool) -> None:
    told = []
    judged = 0
    for recording in recorded:
        if recording.name in as_sent.MADE_UP:
            assert recording.doubtful
            continue
        exchange = recordings.as_recorded(recording)
        judge = Judge(contract, learned if with_learned else None, recording.model_kind)
        judgement = judge.judge(exchange, as_sent.answer(contract, exchange, recording))
        judged += 1
        if judgement.verdict is not Verdict.PASSED:
            told += [f"{recording.name}: {d.path}: {d.openai} / {d.server}" for d in judgement.divergences]
    assert not told, "\n".join(told)
    assert judged >= 150


def test_every_recording_can_be_sent(recorded: list[Recording]) -> None:
    """Each becomes an exchange with another server, or says why not."""
    models = recordings.Models("chat-model", "completion-model", "embedding-model")
    plans = [recordings.exchange(recording, models, recordings.Limits()) for recording in recorded]
    assert sum(plan.not_applicable is None for plan in plans) > 0.95 * len(plans)
    for plan in plans:
        fields = plan.request.fields
        if plan.request.endpoint == "chat":
            assert plan.not_applicable or "max_tokens" in fields or "max_completion_tokens" in fields
        if plan.expected.status == 200 and plan.request.method == "POST":
            assert fields["model"] in ("chat-model", "completion-model", "embedding-model")
