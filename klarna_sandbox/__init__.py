"""A stand-in for Klarna's Order Management and Settlements APIs, on loopback, with faults on request.

A stranger to the rest of the project: it imports nothing of it. `python -m klarna_sandbox --port 8001` starts it,
`klarna_sandbox.server.start()` runs it in a thread, `klarna_sandbox.control.Control` drives it.
"""
