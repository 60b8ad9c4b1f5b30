"""The seed's check of sign-on policies: each app has an active rule that denies devices that are not
trusted."""

from typing import Final

from gateway.cli.doctor_parts.store_seen import AppPolicy
from gateway.model.checkup import Check, CheckGroup, Subject

# Of the linter: an untrusted device comes in where its author may not expect it.
_LETS_IN: Final = (
    "untrusted-never-denied",
    "untrusted-reaches-default-allow",
    "trust-never-matters",
)


def judge_policy(policy: AppPolicy) -> Check:
    """One app's. What the linter finds beside trust is for `devicetrust policy lint`."""
    subject = Subject(CheckGroup.SIGN_ON_POLICY, policy.label)
    if policy.trouble:
        return subject.failed(policy.trouble, "correct the app's policy: devicetrust policy lint says where")
    never = next((each for each in policy.findings if each.code == "untrusted-never-denied"), None)
    if never is not None:
        return subject.failed(
            "no active rule denies devices that are not trusted",
            f"{never.remedy}; a rule such as: device_trust: not_trusted, access: deny",
        )
    told = [each for each in policy.findings if each.code in _LETS_IN]
    if told:
        rule = "" if told[0].rule is None else f'rule "{told[0].rule}": '
        return subject.warning(f"{rule}{told[0].sentence}", told[0].remedy)
    by = f'rule "{policy.denying[0]}"' if policy.denying else "the default"
    return subject.ok(f"{by} denies devices that are not trusted")
