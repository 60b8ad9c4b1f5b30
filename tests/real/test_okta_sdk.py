"""The `okta` SDK, as its users call it, against a gateway that runs: only the URL is another one."""

import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import okta.models as models
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from okta.client import Client
from support.gateway_process import GatewayProcess, gateway_process
from support.org_world import issue_token
from support.site import Site
from support.two_apps import two_apps
from typing_extensions import override

from gateway.adapters.store import Store
from gateway.model.org import TokenScope
from gateway.services.devices import PLATFORMS

pytestmark = pytest.mark.real


class _OnLoopback(AbstractResolver):
    @override
    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=2, proto=0, flags=0)]

    @override
    async def close(self) -> None:
        return


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, str, GatewayProcess]]:
    directory = tmp_path_factory.mktemp("okta")
    site = Site(directory)
    with two_apps(site) as configuration:
        configuration["store"] = "sqlite:///org.db"
        store = Store.open(f"sqlite:///{directory}/org.db")
        token = issue_token(store, TokenScope.ADMIN)
        store.close()
        with gateway_process(configuration, directory) as gateway:
            yield site, token, gateway
            assert gateway.stderr_text() == ""


@pytest.fixture
async def okta(running: tuple[Site, str, GatewayProcess]) -> AsyncIterator[Any]:
    site, token, _ = running
    client = Client({"orgUrl": site.public_base("sso.example.test"), "token": token})
    trusted = ssl.create_default_context(cadata=site.web.pem.decode())
    connector = aiohttp.TCPConnector(resolver=_OnLoopback(), ssl=trusted)
    async with aiohttp.ClientSession(connector=connector) as session:
        client._request_executor.set_session(session)
        yield client


def good(answer: tuple[Any, ...]) -> Any:
    """What an SDK call gave, which tells of errors by its last value."""
    value, *_, error = answer
    assert error is None, error
    return value


async def test_users_live_and_are_logged(okta: Any) -> None:
    made = good(
        await okta.create_user(
            models.CreateUserRequest(
                profile=models.UserProfile(
                    login="ann@example.test", email="ann@example.test", first_name="Ann", last_name="Arbor"
                )
            )
        )
    )
    assert made.status == models.UserStatus.ACTIVE
    assert good(await okta.get_user("ann@example.test")).id == made.id
    good(await okta.suspend_user(made.id))
    assert good(await okta.get_user(made.id)).status == models.UserStatus.SUSPENDED
    good(await okta.unsuspend_user(made.id))
    changed = models.UpdateUserRequest(profile=models.UserProfile(nick_name="Annie"))
    assert good(await okta.update_user(made.id, changed)).profile.nick_name == "Annie"
    good(await okta.deactivate_user(made.id))
    good(await okta.delete_user(made.id))
    _, _, error = await okta.get_user(made.id)
    assert error.error_code == "E0000007"
    events = good(await okta.list_log_events(q="ann@example.test", limit=100))
    assert [event.event_type for event in events] == [
        "user.lifecycle.create",
        "user.lifecycle.suspend",
        "user.lifecycle.unsuspend",
        "user.account.update_profile",
        "user.lifecycle.deactivate",
        "user.lifecycle.delete.completed",
    ]
    assert {event.client.ip_address for event in events} == {"127.0.0.1"}


async def test_users_are_listed_page_by_page(okta: Any) -> None:
    logins = {f"page{number}@example.test" for number in range(5)}
    for login in sorted(logins):
        good(await okta.create_user(models.CreateUserRequest(profile=models.UserProfile(login=login))))
    seen: list[str] = []
    after = None
    while True:
        users, response, error = await okta.list_users(q="page", limit=2, after=after)
        assert error is None, error
        seen += [user.profile.login for user in users]
        following = response.headers.get("Link", "")
        if 'rel="next"' not in following:
            break
        after = following.partition("after=")[2].partition("&")[0].partition(">")[0]
    assert len(seen) == 5
    assert set(seen) == logins


async def test_groups_have_members(okta: Any) -> None:
    group = good(
        await okta.add_group(
            models.AddGroupRequest(profile=models.OktaUserGroupProfile(name="Staff", description="All"))
        )
    )
    user = good(
        await okta.create_user(models.CreateUserRequest(profile=models.UserProfile(login="bob@example.test")))
    )
    good(await okta.assign_user_to_group(group.id, user.id))
    assert [each.id for each in good(await okta.list_group_users(group.id))] == [user.id]
    assert "Staff" in [each.profile.actual_instance.name for each in good(await okta.list_groups())]
    good(await okta.unassign_user_from_group(group.id, user.id))
    good(await okta.delete_group(group.id))


async def test_devices_are_suspended_and_deactivated(
    okta: Any, running: tuple[Site, str, GatewayProcess]
) -> None:
    site, token, _ = running
    headers = {"Authorization": f"SSWS {token}"}
    body = {"profile": {"displayName": "LAPTOP-7", "platform": "WINDOWS", "serialNumber": "7"}}
    url = f"{site.public_base('sso.example.test')}/api/v1/devices"
    session = okta._request_executor._http_client._session
    async with session.post(url, json=body, headers=headers) as answer:
        assert answer.status == 201
        device_id = (await answer.json())["id"]
    device = good(await okta.get_device(device_id))
    assert (device.profile.display_name, device.status) == ("LAPTOP-7", models.DeviceStatus.ACTIVE)
    good(await okta.suspend_device(device_id))
    assert good(await okta.get_device(device_id)).status == models.DeviceStatus.SUSPENDED
    good(await okta.unsuspend_device(device_id))
    good(await okta.deactivate_device(device_id))
    assert [each.id for each in good(await okta.list_devices())] == [device_id]
    assert good(await okta.list_device_users(device_id)) == []
    good(await okta.delete_device(device_id))


async def test_devices_that_the_sdk_knows_no_word_for_are_listed(
    okta: Any, running: tuple[Site, str, GatewayProcess]
) -> None:
    """Its enumeration has four platforms; one device with another would make the whole list unreadable."""
    site, token, _ = running
    headers = {"Authorization": f"SSWS {token}"}
    url = f"{site.public_base('sso.example.test')}/api/v1/devices"
    session = okta._request_executor._http_client._session
    true_platforms = {}
    for platform in PLATFORMS:
        body = {"profile": {"displayName": f"runs {platform}", "platform": platform}}
        async with session.post(url, json=body, headers=headers) as answer:
            assert answer.status == 201
            made = await answer.json()
            true_platforms[made["id"]] = made["platform"]
    assert tuple(true_platforms.values()) == PLATFORMS
    listed = {each.id: each.profile for each in good(await okta.list_devices())}
    assert {
        listed[device_id].display_name: listed[device_id].platform.value for device_id in true_platforms
    } == {
        "runs ANDROID": "ANDROID",
        "runs IOS": "IOS",
        "runs LINUX": "WINDOWS",
        "runs MACOS": "MACOS",
        "runs OTHER": "WINDOWS",
        "runs WINDOWS": "WINDOWS",
    }
    for device_id in true_platforms:
        assert good(await okta.get_device(device_id)).id == device_id
        good(await okta.deactivate_device(device_id))
        good(await okta.delete_device(device_id))


async def test_a_rule_for_linux_is_read_and_sent_back(
    okta: Any, running: tuple[Site, str, GatewayProcess]
) -> None:
    site, token, _ = running
    policy = good(await okta.list_policies(type="ACCESS_POLICY"))[0]
    body = {
        "name": "Trusted Linux",
        "conditions": {
            "platform": {"include": [{"type": "DESKTOP", "os": {"type": "LINUX"}}]},
            "device": {"trustLevel": "TRUSTED"},
        },
        "actions": {"appSignOn": {"access": "ALLOW"}},
    }
    headers = {"Authorization": f"SSWS {token}"}
    url = f"{site.public_base('sso.example.test')}/api/v1/policies/{policy.id}/rules"
    session = okta._request_executor._http_client._session
    async with session.post(url, json=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        rule_id = (await answer.json())["id"]
    rule = good(await okta.get_policy_rule(policy.id, rule_id))
    [platform] = rule.conditions.platform.include
    assert (platform.type.value, platform.os.type.value, platform.os.expression) == (
        "DESKTOP",
        "OTHER",
        "Linux",
    )
    sent_back = good(await okta.replace_policy_rule(policy.id, rule_id, rule))
    assert sent_back.conditions.platform.include == rule.conditions.platform.include
    good(await okta.delete_policy_rule(policy.id, rule_id))


async def test_policies_and_their_rules_are_read_and_sent_back(okta: Any) -> None:
    policies = good(await okta.list_policies(type="ACCESS_POLICY"))
    assert len(policies) == 2
    policy = policies[0]
    rules = good(await okta.list_policy_rules(policy.id))
    rule = good(await okta.get_policy_rule(policy.id, rules[0].id))
    assert good(await okta.replace_policy_rule(policy.id, rule.id, rule)).name == rule.name


async def test_a_wrong_token_is_an_error_that_the_sdk_knows(
    okta: Any, running: tuple[Site, str, GatewayProcess]
) -> None:
    site, _, _ = running
    stranger = Client({"orgUrl": site.public_base("sso.example.test"), "token": "dtk_" + "A" * 43})
    stranger._request_executor.set_session(okta._request_executor._http_client._session)
    *_, error = await stranger.list_users()
    assert error.error_code == "E0000011"
