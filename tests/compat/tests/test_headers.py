"""The header classes of the contract are those of the recordings."""

from collections import defaultdict

from compat import headers
from compat.contract import Contract
from compat.recordings import Recording

Kept = dict[str, dict[str, list[Recording]]]


def by_class(recorded: list[Recording]) -> Kept:
    """The recordings with OpenAI's own headers: by class, and by the repository whose recorder made them."""
    found: Kept = defaultdict(lambda: defaultdict(list))
    for recording in recorded:
        if not recording.doubtful:
            code = (recording.error or {}).get("code")
            found[headers.class_of(recording.request, recording.answer.status, code)][recording.source].append(recording)
    return found


def test_what_is_always_there(contract: Contract, recorded: list[Recording]) -> None:
    """A header that a source's recorder never keeps says nothing. Of the other sources, most recordings have it:
    account names are blanked out or taken away recording by recording, everything else is there each time."""
    for name, sources in by_class(recorded).items():
        for header in contract.headers[name]["always"]:
            keeping = [r for rs in sources.values() if any(header in r.answer.headers for r in rs) for r in rs if not r.old]
            present = [r for r in keeping if header in r.answer.headers]
            if not keeping and header in ("openai-organization", "openai-project"):
                continue  # a class with few recordings, all blanked
            share = len(present) / len(keeping) if keeping else 1
            assert share >= (0.6 if header in ("openai-organization", "openai-project") else 1), (name, header, share)


def test_what_is_never_there(contract: Contract, recorded: list[Recording]) -> None:
    for name, sources in by_class(recorded).items():
        known = contract.headers[name]["always"].keys() | contract.headers[name]["may"].keys()
        for recording in (r for rs in sources.values() for r in rs):
            extra = [h for h in recording.answer.headers if h.startswith(headers.FAMILIES) and h not in known and not recording.old]
            assert not extra, (recording.name, name, extra)


def test_every_recorded_class_is_exercised(contract: Contract, recorded: list[Recording]) -> None:
    assert set(contract.headers) - set(by_class(recorded)) <= {"unrecorded"}


def test_durations(contract: Contract) -> None:
    for good in ("6ms", "1s", "8.64s", "1m0s", "0s", "1h30m0s", "1m12.5s", "17.28ms"):
        assert contract.has_form("duration", good), good
    for bad in ("", "6", "1.5", "1m", "60", "-1s", "1 s", "PT1S", "1s0ms"):
        assert not contract.has_form("duration", bad), bad
