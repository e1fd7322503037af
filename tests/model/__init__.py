"""The protocol as a plain model that is searched through, and the real services driven at random beside it."""
