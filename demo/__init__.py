"""The demo: an invented company on a stand-in for Klarna, with everything that runs in production running for real.

start       ``make run``: prepare, start, print where to look, stop
stack       the three processes: sandbox, worker, web
company     the invented company, built once: what it has sold, delivered and been paid
plan        how many orders go which way, and when
stories     what can become of an order, step by step
acts        what people do to an order, through the services
routines    what happens whatever is ordered: goods in, settlements, the nightly look
baskets     what people buy · purchases: the same, told to Klarna · catalogue · people
past        both clocks moved together
"""
