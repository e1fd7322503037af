"""The pages at /_sandbox/ that stand in for Klarna's Merchant Portal. They work without JavaScript."""

from flask import Flask

from klarna_sandbox.admin import create_admin
from klarna_sandbox.callbacks import Courier
from klarna_sandbox.world import World


def create_pages(world: World, courier: Courier) -> Flask:
    """The Flask application behind /_sandbox/."""
    app = Flask(__name__, static_url_path="/_sandbox/static")
    app.register_blueprint(create_admin(world, courier))
    return app
