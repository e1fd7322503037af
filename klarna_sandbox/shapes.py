"""How orders, captures and refunds look in the answers of Order Management."""

from klarna_sandbox.records import Capture, Doc, Order, Refund


def _set(**fields: object) -> Doc:
    return {name: value for name, value in fields.items() if value is not None and value != ""}


def capture(record: Capture) -> Doc:
    """A capture as it is read."""
    return {
        "capture_id": record.capture_id,
        "klarna_reference": record.klarna_reference,
        "captured_amount": record.captured_amount,
        "captured_at": record.captured_at,
        **_set(description=record.description, reference=record.reference),
        "order_lines": record.order_lines,
        "refunded_amount": record.refunded_amount,
        "billing_address": record.billing_address,
        "shipping_address": record.shipping_address,
        "shipping_info": list(record.shipping_info),
    }


def refund(record: Refund) -> Doc:
    """A refund as it is read. It does not say which capture it was allocated to."""
    return {
        "refund_id": record.refund_id,
        "refunded_amount": record.refunded_amount,
        "refunded_at": record.refunded_at,
        **_set(description=record.description, reference=record.reference, credit_invoice=record.credit_invoice),
        "order_lines": record.order_lines,
    }


def order(record: Order) -> Doc:
    """An order as it is read."""
    return {
        "order_id": record.order_id,
        "status": record.status,
        "fraud_status": record.fraud_status,
        "order_amount": record.order_amount,
        "original_order_amount": record.original_order_amount,
        "captured_amount": record.captured_amount,
        "refunded_amount": record.refunded_amount,
        "remaining_authorized_amount": record.remaining_authorized_amount,
        "purchase_currency": record.purchase_currency,
        "purchase_country": record.purchase_country,
        "locale": record.locale,
        "order_lines": list(record.order_lines),
        "klarna_reference": record.klarna_reference,
        **_set(
            merchant_reference1=record.merchant_reference1,
            merchant_reference2=record.merchant_reference2,
            merchant_data=record.merchant_data,
        ),
        "customer": record.customer,
        "billing_address": record.billing_address,
        "shipping_address": dict(record.shipping_address),
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "captures": [capture(each) for each in record.captures],
        "refunds": [refund(each) for each in record.refunds],
        "shipping_info": list(record.shipping_info),
        "initial_payment_method": record.initial_payment_method,
        **_set(selected_shipping_option=record.selected_shipping_option),
    }
