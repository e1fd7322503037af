"""The sandbox that a page or an admin endpoint works on: the one its application was made for."""

from typing import cast

from flask import Flask, current_app
from werkzeug.local import LocalProxy

from klarna_sandbox.callbacks import Courier
from klarna_sandbox.world import World

world = cast(World, LocalProxy(lambda: current_app.extensions["world"]))
courier = cast(Courier, LocalProxy(lambda: current_app.extensions["courier"]))


def seat(app: Flask, its_world: World, its_courier: Courier) -> None:
    """Let this application's pages work on this sandbox."""
    app.extensions["world"], app.extensions["courier"] = its_world, its_courier
