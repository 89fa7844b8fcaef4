"""The first failure of every arm, and the sentence that a message becomes."""

from orchestrator.results.failures import SENTENCE, failures, sentence
from orchestrator.states import NodeState, Reason
from orchestrator.store.records import NodeUse, StoredNode


def use(key: str, arm: str, generation: int, state: NodeState) -> NodeUse:
    return NodeUse(
        experiment="e",
        key=key,
        arm=arm,
        seed=0,
        generation=generation,
        cached=False,
        kind="generation",
        state=state,
        made_by=None,
    )


def failed(key: str, message: str) -> StoredNode:
    return StoredNode(
        key=key,
        kind="generation",
        state=NodeState.FAILED,
        fence=1,
        owner=None,
        made_by=None,
        reason=Reason.USER_ERROR,
        message=message,
        checkpoint_uri=None,
        weights_sha256=None,
        started_at=None,
        finished_at=None,
    )


def test_every_arm_gives_its_first_failure_and_the_number_of_nodes_it_stopped() -> None:
    uses = [
        use("a", "llf", 0, NodeState.SUCCEEDED),
        use("b", "llf", 1, NodeState.FAILED),
        use("c", "llf", 2, NodeState.SKIPPED),
        use("d", "seal", 0, NodeState.FAILED),
    ]
    found = failures(uses, {"b": failed("b", "fc.weight is wrong"), "d": failed("d", "no such file")})
    assert [(each["arm"], each["generation"], each["message"], each["nodes"]) for each in found] == [
        ("llf", 1, "fc.weight is wrong", 2),
        ("seal", 0, "no such file", 1),
    ]


def test_of_a_traceback_only_the_innermost_error_remains() -> None:
    text = "\x1b[36mray::f()\x1b[39m\nTraceback (most recent call last):\n  File x\nValueError: [seed0] is\x1b[1m bad\n"
    assert sentence(text) == "ValueError: [seed0] is bad"


def test_a_message_of_several_lines_becomes_one_line_of_limited_length() -> None:
    assert sentence("method\n  Field required") == "method Field required"
    assert len(sentence("x" * 5000)) == SENTENCE
