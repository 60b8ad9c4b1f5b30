"""The policy enforcement point's pure half: HTTP heads, routing, header rules, tokens."""
