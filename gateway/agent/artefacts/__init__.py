"""Texts that make browsers, schedulers and certificate stores of each system do what the agent needs.

Pure: values in, text out. Whoever writes them somewhere, or shows them to an administrator, is elsewhere
(`platforms/`, `devicetrust browser-policy`).
"""
