"""iwa.yaml → IwaSettings, or every error in it at once, each with file, line and key."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from gateway.config.errors import ConfigError, KeyPath
from gateway.config.iwa_schema import BindSection, DirectorySection, IwaFile, RealmSection
from gateway.config.marked_yaml import MarkedDocument, load_marked
from gateway.config.text_file import read_text_file
from gateway.config.validation import ConfigErrors, in_order, validated
from gateway.model.iwa_settings import (
    ChannelBindings,
    ComputerRule,
    DirectorySettings,
    IwaLimits,
    IwaSettings,
    PasswordBind,
    RealmSettings,
    SaslBind,
)
from gateway.services.realm_rules import UPN


def load_iwa_settings(path: str) -> IwaSettings:
    """Read and check the file. Relative paths in it refer to its directory. Raises ConfigErrors, nothing
    else. Opens no other file."""
    try:
        document = load_marked(read_text_file(path), path)
    except ConfigError as error:
        raise ConfigErrors([error]) from error
    return iwa_settings_from(document, str(Path(path).absolute()))


def iwa_settings_from(document: MarkedDocument, source: str) -> IwaSettings:
    """Raises ConfigErrors."""
    file = validated(IwaFile, document)
    contradictions = list(_contradictions(file))
    if contradictions:
        raise ConfigErrors(in_order(document, contradictions))
    return _assembled(file, source)


def _contradictions(file: IwaFile) -> Iterator[tuple[KeyPath, str]]:
    listen = file.listen
    if not listen.http and not listen.https:
        yield ("listen",), "must have http or https addresses"
    for key in ("certificate", "private_key"):
        if listen.https and getattr(listen, key) is None:
            yield ("listen", key), "is missing, which https needs"
    scheme = urlsplit(file.url).scheme
    if scheme == "https" and not listen.https and not file.trusted_proxies:
        yield (
            ("url",),
            "is https, and nothing listens for it: listen.https, or trusted_proxies where a proxy does",
        )
    yield from _about_realms(file.realms)
    names = [each.realm for each in file.realms]
    of_directories: list[str] = []
    for index, directory in enumerate(file.directory):
        if directory.realm not in names:
            yield ("directory", index, "realm"), "is not one of realms"
        if directory.realm in of_directories:
            yield ("directory", index, "realm"), "has a directory already; list several urls there"
        of_directories.append(directory.realm)
        yield from _about_bind(directory.bind, ("directory", index, "bind"))


def _about_realms(realms: list[RealmSection]) -> Iterator[tuple[KeyPath, str]]:
    names: list[str] = []
    patterns: list[str] = []
    for index, each in enumerate(realms):
        if each.realm in names:
            yield ("realms", index, "realm"), "is listed already"
        names.append(each.realm)
        if each.login == UPN or "{" not in each.login:
            continue
        if each.login in patterns:
            yield (
                ("realms", index, "login"),
                "is another realm's pattern, too: two people with one name would be one",
            )
        patterns.append(each.login)


def _about_bind(bind: BindSection, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    by_ticket = [key for key in ("sasl", "keytab", "principal") if getattr(bind, key) is not None]
    by_password = [key for key in ("user", "password_file") if getattr(bind, key) is not None]
    if len(by_ticket) == 3 and not by_password:
        return
    if len(by_password) == 2 and not by_ticket:
        return
    yield path, "must have either sasl, keytab and principal, or user and password_file"


def _assembled(file: IwaFile, source: str) -> IwaSettings:
    base = Path(source).parent

    def absolute(path: str) -> str:
        return str(base / path)

    def optional(path: str | None) -> str | None:
        return None if path is None else absolute(path)

    def directory(section: DirectorySection) -> DirectorySettings:
        bind = section.bind
        as_whom: SaslBind | PasswordBind
        if bind.keytab is not None and bind.principal is not None:
            as_whom = SaslBind(absolute(bind.keytab), bind.principal)
        else:
            assert bind.user is not None
            assert bind.password_file is not None, "which was checked"
            as_whom = PasswordBind(bind.user, absolute(bind.password_file))
        return DirectorySettings(
            realm=section.realm,
            urls=tuple(section.urls),
            base=section.base,
            ca_file=optional(section.ca),
            bind=as_whom,
            computer_groups=tuple(section.require_groups.computers),
            user_groups=tuple(section.require_groups.users),
            timeout=section.timeout,
        )

    return IwaSettings(
        source=source,
        name=file.name,
        org_url=file.org.url,
        audience=file.org.audience,
        org_ca_file=optional(file.org.ca),
        http=tuple(file.listen.http),
        https=tuple(file.listen.https),
        certificate=optional(file.listen.certificate),
        private_key=optional(file.listen.private_key),
        metrics=file.listen.metrics,
        url=file.url,
        path=urlsplit(file.url).path.rstrip("/"),
        keytab=absolute(file.kerberos.keytab),
        service=file.kerberos.service,
        channel_bindings=ChannelBindings(file.kerberos.channel_bindings),
        computers=ComputerRule(file.kerberos.computers),
        realms=tuple(_realm(each, alone=len(file.realms) == 1) for each in file.realms),
        directories=tuple(map(directory, file.directory)),
        keys=absolute(file.keys),
        trusted_proxies=tuple(file.trusted_proxies),
        limits=IwaLimits(file.limits.per_principal, file.limits.per_address, file.limits.connections),
    )


def _realm(section: RealmSection, *, alone: bool) -> RealmSettings:
    suffixes = section.upn_suffixes
    if suffixes is None and not alone:
        suffixes = [section.realm.lower()]
    return RealmSettings(
        section.realm,
        section.login,
        None if suffixes is None else tuple(suffixes),
        section.domain_sid,
    )
