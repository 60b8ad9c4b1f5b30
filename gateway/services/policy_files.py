"""The apps' policy files and the store: taken up at the start, and taken back instead of an edited policy.

A policy that nobody has edited follows its file. One that was edited stays as it is whatever becomes of the
file; that the file has changed since is told with it.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from gateway.model.changes import StatePart, state_changed
from gateway.model.ids import IdKind
from gateway.model.org import Lifecycle, PolicySource, StoredPolicy
from gateway.policy.derived_ids import derived_id
from gateway.services.org_configuration import ConfiguredApp, OrgConfiguration
from gateway.services.policies import CompiledPolicy, compiled, policy
from gateway.services.policy_work import Editing, PolicyView, PolicyWork
from gateway.services.refusals import NotAllowedNow
from gateway.system_log.administration import policy_event
from gateway.system_log.catalog import EventType, Occasion


def adopt_files(work: PolicyWork, configuration: OrgConfiguration, occasion: Occasion) -> list[str]:
    """Make the store know every app's policy file. The apps whose row was made, followed its file, or went.

    For the start of the org, and for a changed gateway.yaml. Nothing is in the change feed: workers have read
    the files themselves. May raise AlreadyExists where another gateway does the same at the same moment; the
    next try finds nothing left to do.
    """
    known = {stored.app: stored for stored in work.policies.all()}
    changed: list[str] = []
    for name, app in configuration.apps.items():
        before = known.get(name)
        if before is None:
            made = file_policy(app, occasion.at)
            work.policies.put(made)
            work.log_event(policy_event(occasion, EventType.POLICY_CREATED, made))
        elif before.source is PolicySource.FILE and before.file_sha256 != app.policy_sha256:
            made = replace(file_policy(app, occasion.at), id=before.id, created=before.created)
            work.policies.put(made)
            work.log_event(
                policy_event(
                    occasion,
                    EventType.POLICY_UPDATED,
                    made,
                    changed_from={"fileSha256": before.file_sha256},
                    changed_to={"fileSha256": made.file_sha256},
                )
            )
        else:
            continue
        changed.append(name)
    for stored in known.values():
        if stored.app not in configuration.apps and stored.source is PolicySource.FILE:
            work.policies.delete(stored.id)
            work.log_event(policy_event(occasion, EventType.POLICY_DELETED, stored))
            changed.append(stored.app)
    return changed


def revert_to_file(work: PolicyWork, editing: Editing, policy_id: str) -> CompiledPolicy:
    """Let the file count again instead of what was edited. Raises NotFound, NotAllowedNow."""
    stored = policy(work, editing.configuration, policy_id, lock=True)
    if stored.source is PolicySource.FILE:
        raise NotAllowedNow(
            f"The policy of app {stored.app} is that of its file: there is nothing to take back."
        )
    app = editing.configuration.apps[stored.app]
    reverted = replace(file_policy(app, editing.occasion.at), id=stored.id, created=stored.created)
    result = compiled(work, editing.configuration, reverted)
    work.policies.put(reverted)
    work.record(state_changed(StatePart.POLICIES))
    work.log_event(
        policy_event(
            editing.occasion,
            EventType.POLICY_UPDATED,
            reverted,
            changed_from={"source": stored.source.value},
            changed_to={"source": reverted.source.value},
        )
    )
    return result


def file_has_changed(stored: StoredPolicy, configuration: OrgConfiguration) -> bool:
    """Whether an edited policy's file is another one than the one that was edited."""
    app = configuration.apps.get(stored.app)
    return (
        stored.source is PolicySource.EDITED and app is not None and app.policy_sha256 != stored.file_sha256
    )


def state_policies(view: PolicyView) -> dict[str, Any]:
    """What workers are told: the document of each policy that counts instead of its app's file."""
    return {
        stored.app: stored.document for stored in view.policies.all() if stored.source is PolicySource.EDITED
    }


def file_policy(app: ConfiguredApp, at: datetime) -> StoredPolicy:
    """The policy that a file makes, with the id that it has in every store."""
    return StoredPolicy(
        id=derived_id(IdKind.POLICY, "policy", app.name),
        app=app.name,
        name=str(app.policy["name"]),
        document=app.policy,
        source=PolicySource.FILE,
        file_sha256=app.policy_sha256,
        status=Lifecycle.ACTIVE,
        priority=1,
        created=at,
        last_updated=at,
    )
