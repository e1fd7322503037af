"""What the API says no with: a status, a code and messages, as in the error envelope."""


class Refused(Exception):
    """An answer other than success. Raised by rules, turned into the error envelope by the application."""

    def __init__(self, status: int, code: str, *messages: str) -> None:
        super().__init__(f"{status} {code}: {' '.join(messages)}")
        self.status = status
        self.code = code
        self.messages = list(messages)


def not_allowed(message: str) -> Refused:
    """403 NOT_ALLOWED, the refusal that most operations share."""
    return Refused(403, "NOT_ALLOWED", message)


def unprocessable(message: str) -> Refused:
    """422 UNPROCESSABLE_ENTITY: the body breaks the schema."""
    return Refused(422, "UNPROCESSABLE_ENTITY", message)


class Misuse(Exception):
    """An admin call or a page form that makes no sense: answered 400 with the sentence."""
