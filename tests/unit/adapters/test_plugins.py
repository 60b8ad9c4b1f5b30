"""The plug-in door: what stops the start, and with which name."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from gateway.adapters.plugins import POLICY_CONDITIONS_GROUP, PlugInError, load_entry_points
from gateway.policy.errors import PolicyInvalid, PolicyProblem
from gateway.policy.rules import compile_policy


def entry_point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, POLICY_CONDITIONS_GROUP)


GOOD = entry_point("clients", "gateway.policy.conditions.clients:parse")


def test_an_entry_point_is_loaded_under_its_name() -> None:
    assert load_entry_points([GOOD]).keys() == {"clients"}


@pytest.mark.parametrize(
    ("found", "message"),
    [
        pytest.param(
            [entry_point("late", "no_such_module:parse")],
            'plug-in "late" (no_such_module:parse): raised ModuleNotFoundError: No module named',
            id="a module that is not there",
        ),
        pytest.param(
            [entry_point("late", "gateway.policy.access:no_such")],
            'plug-in "late" (gateway.policy.access:no_such): raised AttributeError',
            id="an object that is not there",
        ),
        pytest.param(
            [entry_point("late", "gateway.policy.access:EVERY_SIGN_ON")],
            'plug-in "late" (gateway.policy.access:EVERY_SIGN_ON): is not callable',
            id="an object that is no parser",
        ),
        pytest.param([GOOD, GOOD], "given by more than one distribution", id="a name given twice"),
        pytest.param(
            [entry_point("access", "gateway.policy.conditions.clients:parse")],
            "a reserved name",
            id="a key of every rule",
        ),
    ],
)
def test_a_plug_in_that_does_not_load_stops_the_start_with_its_name(
    found: list[EntryPoint], message: str
) -> None:
    with pytest.raises(PlugInError) as stopped:
        load_entry_points(found, reserved=("access",))
    assert message in str(stopped.value)


def test_whatever_a_module_raises_while_it_loads_is_said_with_the_plug_ins_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exploding_plug_in.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PlugInError, match=r'"late" .*raised ZeroDivisionError: division by zero'):
        load_entry_points([entry_point("late", "exploding_plug_in:parse")])


def test_a_plug_in_that_raises_while_it_reads_a_policy_is_an_error_of_that_policy() -> None:
    def parse(raw: object) -> object:
        raise KeyError(raw)

    raw = {"name": "p", "rules": [{"name": "r", "access": "allow", "late": 1}]}
    with pytest.raises(PolicyInvalid) as refused:
        compile_policy(raw, {"late": parse})  # type: ignore[dict-item]  # a plug-in is not type-checked
    assert (refused.value.problem, refused.value.path) == (PolicyProblem.PLUG_IN_FAILED, ("rules", 0, "late"))
    assert "plug-in late: raised KeyError" in refused.value.detail
