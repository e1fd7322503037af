"""Klarna's published descriptions as a check on traffic: read, repaired in memory, asked about each call.

The files are Klarna's and are not part of Kvitta; `KLARNA_OPENAPI_DIR` says where they lie. They are not consistent, so
known slips are repaired while loading: enums written as one string, enums of null, patterns without anchors, a string
body declared for answers that have none. What they leave open is closed here: fields that must be there, the envelope
of every refusal, ids on every 201.
"""

import copy
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import yaml

FOLDER = Path(os.environ.get("KLARNA_OPENAPI_DIR") or Path(__file__).parents[2] / "../shared/klarna/openapi").resolve()
ORDER_MANAGEMENT = FOLDER / "order-management-api-openapi.yml"
SETTLEMENTS = FOLDER / "klarna-settlements-api-openapi.yml"
PRESENT = ORDER_MANAGEMENT.is_file() and SETTLEMENTS.is_file()
WHY_SKIPPED = "Klarna's API descriptions are not here; set KLARNA_OPENAPI_DIR to the folder that holds them"

NOT_JSON_SCHEMA = {"example", "xml", "externalDocs", "discriminator", "deprecated", "readOnly", "writeOnly", "nullable"}
# The descriptions require nothing of an answer; these are the fields Kvitta counts on.
ORDER_FIELDS = (
    "order_id", "status", "fraud_status", "order_amount", "original_order_amount", "captured_amount", "refunded_amount",
    "remaining_authorized_amount", "purchase_currency", "purchase_country", "locale", "order_lines", "klarna_reference",
    "customer", "billing_address", "shipping_address", "created_at", "expires_at", "captures", "refunds", "shipping_info",
    "initial_payment_method",
)  # fmt: skip
CAPTURE_FIELDS = (
    "capture_id", "klarna_reference", "captured_amount", "captured_at", "order_lines", "refunded_amount",
    "billing_address", "shipping_address", "shipping_info",
)  # fmt: skip
REFUND_FIELDS = ("refund_id", "refunded_amount", "refunded_at", "order_lines")
TOTALS = ("tax_amount", "fee_correction_amount")
ENVELOPE = {
    "type": "object",
    "required": ["error_code", "error_messages", "correlation_id"],
    "properties": {
        "error_code": {"type": "string"},
        "error_messages": {"type": "array", "items": {"type": "string"}},
        "correlation_id": {"type": "string"},
    },
}
# Named on Klarna's pages though missing in the closed list of the description.
MORE_DETAILS = [
    "CORRECTION_DISPUTE", "CASH_ADVANCE_AMORTISATION", "CASH_ADVANCE_PAYOUT", "CASH_ADVANCE_FEES", "LIABILITY_TRANSFER",
    "DISPUTE_FEE_REFUND", "TAX",
]  # fmt: skip
WITH_ORDER = ("SALE", "FEE", "RETURN")
DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def _formats() -> jsonschema.FormatChecker:
    checker = jsonschema.FormatChecker(formats=())
    checker.checks("date-time")(lambda value: not isinstance(value, str) or bool(DATE_TIME.fullmatch(value)))
    return checker


def _repaired(node: Any) -> Any:
    """A schema in JSON Schema's own terms, with the known slips put right."""
    if isinstance(node, list):
        return [_repaired(each) for each in node]
    if not isinstance(node, dict):
        return node
    fixed = {
        name: _repaired(value)
        for name, value in node.items()
        if name not in NOT_JSON_SCHEMA and not (name == "description" and isinstance(value, str))
    }
    choices = fixed.get("enum")
    if isinstance(choices, list):
        if len(choices) == 1 and isinstance(choices[0], str) and "|" in choices[0]:
            fixed["enum"] = choices[0].split("|")
            fixed.pop("pattern", None)
        elif choices == [None]:
            del fixed["enum"]
    if isinstance(fixed.get("pattern"), str):
        fixed["pattern"] = f"^(?:{fixed['pattern']})$"
    return fixed


def _require(schema: dict[str, Any], names: tuple[str, ...]) -> None:
    schema["required"] = sorted({*schema.get("required", []), *names})


class Description:
    """One of the two files. `seen` collects the operations that were checked."""

    def __init__(self, path: Path, prefix: str = "") -> None:
        self.document = _repaired(yaml.safe_load(path.read_text(encoding="utf-8")))
        self.schemas: dict[str, Any] = self.document["components"]["schemas"]
        self.seen: set[str] = set()
        self._formats = _formats()
        self._routes: list[tuple[bool, re.Pattern[str], str, dict[str, Any]]] = []
        for template, methods in self.document["paths"].items():
            pattern = re.compile(prefix + re.sub(r"\{[^}]+\}", "[^/]+", template))
            for method, operation in methods.items():
                self._routes.append(("{" in template, pattern, method.upper(), operation))
        self._routes.sort(key=lambda route: route[0])
        if "MerchantOrderDto" in self.schemas:
            _require(self.schemas["MerchantOrderDto"], ORDER_FIELDS)
            _require(self.schemas["Capture"], CAPTURE_FIELDS)
            _require(self.schemas["Refund"], REFUND_FIELDS)
        else:
            _require(self.schemas["Totals"], TOTALS)
            self.schemas["Transaction"]["properties"]["detailed_type"]["enum"] += MORE_DETAILS

    def operations(self) -> set[str]:
        return {operation["operationId"] for _, _, _, operation in self._routes}

    def find(self, method: str, path: str) -> dict[str, Any] | None:
        """The operation a call means; literal paths go before those with a parameter."""
        for _, pattern, verb, operation in self._routes:
            if verb == method and pattern.fullmatch(path):
                return operation
        return None

    def check(self, document: Any, schema: dict[str, Any]) -> None:
        """Raises jsonschema.ValidationError where the document does not fit."""
        whole = {**schema, "components": self.document["components"]}
        jsonschema.Draft4Validator(whole, format_checker=self._formats).validate(document)

    def check_request(self, method: str, path: str, headers: dict[str, str], body: Any) -> None:
        """A request: its operation exists, its body fits and holds no field that is not listed."""
        operation = self.find(method, path)
        assert operation is not None, f"{method} {path} is not described"
        assert headers.get("Authorization", "").startswith("Basic ")
        if method in ("POST", "PATCH"):
            assert headers.get("Klarna-Idempotency-Key")
        declared = operation.get("requestBody")
        if declared is None:
            assert body is None, f"{method} {path} takes no body"
            return
        content = next(iter(declared["content"].values()))["schema"]
        self.check(body, content)
        self._only_listed(body, content, path)

    def _only_listed(self, body: Any, schema: dict[str, Any], where: str) -> None:
        schema = self._resolved(schema)
        if isinstance(body, list):
            for each in body:
                self._only_listed(each, schema["items"], where)
        elif isinstance(body, dict):
            for name, value in body.items():
                assert name in schema["properties"], f"{where}: {name} is not listed"
                self._only_listed(value, schema["properties"][name], f"{where}.{name}")

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in schema:
            found: dict[str, Any] = self.schemas[schema["$ref"].rpartition("/")[2]]
            return found
        return schema

    def check_answer(self, method: str, path: str, status: int, headers: Any, content: bytes, document: Any) -> None:
        """An answer: its status, headers and body fit the description, its repairs and its gaps."""
        operation = self.find(method, path)
        assert operation is not None
        self.seen.add(operation["operationId"])
        if status == 401:
            return
        assert headers["Klarna-Correlation-Id"]
        if status >= 400:
            self.check(document, ENVELOPE)
            assert headers["Content-Type"] == "application/json"
            assert document["correlation_id"] == headers["Klarna-Correlation-Id"]
            return
        declared = operation["responses"][str(status)]
        if status in (201, 204):
            assert content == b""
            for name in declared.get("headers", {}):
                assert headers.get(name), f"{name} is missing"
            return
        schema = (declared.get("content") or {}).get("application/json", {}).get("schema")
        if schema is not None:
            self.check(self._eased(document), schema)

    @staticmethod
    def _eased(document: Any) -> Any:
        """Rows without an order may lack what the order would tell."""
        if (
            not isinstance(document, dict)
            or "transactions" not in document
            or not isinstance(document["transactions"], list)
        ):
            return document
        eased = copy.deepcopy(document)
        usual = {
            "order_id": "00000000-0000-0000-0000-000000000000", "sale_date": "2026-01-01T00:00:00Z",
            "capture_date": "2026-01-01T00:00:00Z", "purchase_country": "SE", "short_order_id": "",
        }  # fmt: skip
        for row in eased["transactions"]:
            if row["order_id"] is None or row["type"] not in WITH_ORDER:
                row.update({name: value for name, value in usual.items() if row.get(name) is None})
        return eased
