"""The same platforms in other words are the same rule: ``other_desktop`` includes ``linux``."""

import pytest

from gateway.policy.normal import normal_rule, same_rule

BEFORE_LINUX = ["ios", "android", "other_mobile", "windows", "macos", "other_desktop"]


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        pytest.param(["linux", "windows"], ["linux", "windows"], id="Linux alone"),
        pytest.param(["other_desktop"], ["other_desktop"], id="other desktops"),
        pytest.param(["linux", "ios", "other_desktop"], ["ios", "other_desktop"], id="both"),
        pytest.param(BEFORE_LINUX, None, id="all there were before Linux had a name"),
        pytest.param([*BEFORE_LINUX, "linux"], None, id="all there are"),
        pytest.param([*BEFORE_LINUX[:-1], "linux"], [*BEFORE_LINUX[:-1], "linux"], id="all but the others"),
    ],
)
def test_the_normal_form_of_platforms(written: list[str], normal: list[str] | None) -> None:
    rule = {"name": "r", "platforms": written, "access": "deny"}
    assert normal_rule(rule).get("platforms") == normal
    assert same_rule(rule, {"name": "r", "access": "deny", **({"platforms": normal} if normal else {})})


def test_linux_and_other_desktops_are_not_the_same() -> None:
    linux = {"name": "r", "platforms": ["linux"], "access": "deny"}
    assert not same_rule(linux, {**linux, "platforms": ["other_desktop"]})
