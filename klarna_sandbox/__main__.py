"""`python -m klarna_sandbox --port 8001 --data PATH`"""

import argparse

from klarna_sandbox.server import serve

parser = argparse.ArgumentParser(prog="klarna_sandbox", description="A stand-in for Klarna's APIs, on loopback only.")
parser.add_argument("--port", type=int, default=8001, help="port on 127.0.0.1 (default 8001, 0 takes a free one)")
parser.add_argument("--data", help="SQLite file that keeps the sandbox's state; without it nothing is kept")
options = parser.parse_args()
serve(options.port, options.data)
