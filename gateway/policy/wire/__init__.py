"""A policy document ↔ the ACCESS_POLICY policy and rules of the Okta API.

Both ways without loss: what the loader accepts comes back from the wire as the same document
(`gateway.policy.normal`), and a wire rule that a document cannot express in full is refused with the name of
the field, never made wider. What the wire has no word for stands in members of our own beside Okta's
(``monitor``, ``conditions.office365Client``, ``conditions.plugIns``, ``conditions.device.trustLevel``). A
client that does not know them leaves them out when it writes back what it has read; where that would lose
something the write is refused.

Documents name people and zones, the wire has their ids: the look-ups are an argument (`names.WireNames`).
"""
