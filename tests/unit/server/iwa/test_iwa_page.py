"""The page for people: what it says of a ticket, escaped, and the same as JSON."""

import json

from gateway.enrollment.pac import AccountKind
from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.enrollment.ticket_accounts import TicketAccount
from gateway.enrollment.tokens import DomainAccount
from gateway.server.iwa.iwa_page import asking_page, known_page, refused_page, wants_html
from gateway.services.iwa import Looked

ALICE = TicketAccount("alice", "CORP", AccountKind.USER, "account flags 0x10 of the PAC", sid="S-1-5-21-1")
FACTS = {"connection": "HTTPS, named in the ticket", "address": "10.1.1.1"}


def test_who_may_enroll_reads_so() -> None:
    known = DomainAccount("alice@CORP", "CORP", "alice@example.com", "S-1-5-21-1")
    looked = Looked(ALICE, known, None)
    page = known_page(looked, FACTS, "hq-1", "ref-1", html=True)
    for text in (b"You are alice@CORP", b"may enroll", b"alice@example.com", b"S-1-5-21-1", b"ref-1"):
        assert text in page.body
    assert b"<script" not in page.body
    said = json.loads(known_page(looked, FACTS, "hq-1", "ref-1", html=False).body)
    assert (said["may_enroll"], said["login"], said["refusal"]) == (True, "alice@example.com", None)
    assert said["connection"] == "HTTPS, named in the ticket"


def test_who_may_not_reads_why_and_what_to_do() -> None:
    looked = Looked(ALICE, None, EnrollmentRefused(EnrollmentRefusal.ACCOUNT_DISABLED, "CN=<Alice>"))
    page = known_page(looked, FACTS, "hq-1", "ref-1", html=True).body.decode()
    assert "The account is disabled." in page
    assert "Enable it in the directory" in page
    assert "CN=&lt;Alice&gt;" in page
    said = json.loads(known_page(looked, FACTS, "hq-1", "ref-1", html=False).body)
    assert said["refusal"]["code"] == "ACCOUNT_DISABLED"


def test_a_ticket_that_is_refused_is_explained() -> None:
    refused = EnrollmentRefused(EnrollmentRefusal.CLOCK_SKEW, "Clock skew too great")
    page = refused_page(refused, "hq-1", "ref-1", html=True).body.decode()
    assert "The clocks of this computer" in page
    assert "CLOCK_SKEW" in page
    asked = EnrollmentRefused(EnrollmentRefusal.NEGOTIATE_FAILED)
    assert b"AuthServerAllowlist" in asking_page(asked, "hq-1", "ref-1", html=True).body
    assert json.loads(asking_page(asked, "hq-1", "r", html=False).body)["code"] == "NEGOTIATE_FAILED"


def test_browsers_get_html_and_programs_json() -> None:
    assert wants_html("text/html,application/xhtml+xml,*/*;q=0.8")
    assert wants_html(None)
    assert not wants_html("application/json")
