"""What an administrator does in the Group Policy Management Console, step by step, with what to paste."""

from gateway.agent.artefacts.auto_select import auto_select_item
from gateway.agent.artefacts.firefox_policy import firefox_policy
from gateway.agent.platform import BrowserPolicy

_BEGIN = """\
1. Start gpmc.msc on a domain controller, and edit the Group Policy Object of the computers.
"""
_END = """\
{number}. Run gpupdate /force on a computer, and see {where}.

Install the agent with SkipBrowserSetup=true there, so that it leaves this to the group policy.
"""


def _heading(title: str) -> str:
    return f"{title}\n{'-' * len(title)}"


def chrome_instructions(policy: BrowserPolicy) -> str:
    return f"""\
{_heading("Google Chrome picks the Device Trust certificate without asking")}
{_BEGIN}\
   (Once: copy chrome.admx and en-US\\chrome.adml of Google's policy templates into
   C:\\Windows\\PolicyDefinitions.)
2. Open Computer Configuration > Policies > Administrative Templates > Google > Google Chrome
   > Content settings > "Automatically select client certificates for these sites",
   choose Enabled, press Show.
3. Add this value, beside those that are there:

{auto_select_item(policy)}

{_END.format(number=4, where="chrome://policy")}"""


def edge_instructions(policy: BrowserPolicy) -> str:
    return f"""\
{_heading("Microsoft Edge picks the Device Trust certificate without asking")}
{_BEGIN}\
   (Once: copy msedge.admx and en-US\\msedge.adml of Microsoft's policy files into
   C:\\Windows\\PolicyDefinitions.)
2. Open Computer Configuration > Policies > Administrative Templates > Microsoft Edge > Content settings
   > "Automatically select client certificates for these sites", choose Enabled, press Show.
3. Add this value, beside those that are there:

{auto_select_item(policy)}

{_END.format(number=4, where="edge://policy")}"""


def internet_explorer_instructions(policy: BrowserPolicy) -> str:
    return f"""\
{_heading("Internet Explorer takes the only certificate that fits without asking")}
{_BEGIN}\
2. Open Computer Configuration > Policies > Administrative Templates > Windows Components > Internet Explorer
   > Internet Control Panel > Security Page > Trusted Sites Zone
   > "Don't prompt for client certificate selection when no certificates or only one certificate exists",
   choose Enabled, and Enable below it.
3. Open ... > Security Page > "Site to Zone Assignment List", choose Enabled, press Show, and add:

   Value name   https://*.{policy.mtls_domain}
   Value        2

   2 is the zone of trusted sites. It knows no issuers: a person with other certificates is asked.
   Programs with the sign-on window of Internet Explorer follow it, too.

{_END.format(number=4, where="the list under Internet Options > Security > Trusted sites > Sites")}"""


def firefox_instructions() -> str:
    return f"""\
{_heading("Firefox answers requests for a certificate with the one that fits")}
{_BEGIN}\
   (Once: copy firefox.admx and en-US\\firefox.adml of Mozilla's policy templates into
   C:\\Windows\\PolicyDefinitions.)
2. Open Computer Configuration > Policies > Administrative Templates > Mozilla > Firefox > "Preferences",
   choose Enabled, and paste what stands between the braces of "Preferences" here (or distribute the file as
   policies.json in the folder "distribution" beside firefox.exe):

{firefox_policy()}
   Firefox knows no rule by site: this answers every site that asks for a certificate.

{_END.format(number=3, where="about:policies")}"""
