"""The demo: an invented company on a stand-in for Klarna, with everything that runs in production running for real.

start       ``make run``: prepare, start, print where to look, stop
stack       the three processes: sandbox, worker, web
company     what the invented company has sold, delivered and been paid
"""
