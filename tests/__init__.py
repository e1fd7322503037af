"""Tests of Kvitta. ``conftest.py`` gives the fixtures, ``builders.py`` the things, ``web_client.py`` the pages."""
