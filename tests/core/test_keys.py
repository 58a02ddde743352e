from __future__ import annotations

from app.core.keys import derive

ROOT = bytes(range(32))


def test_each_purpose_has_its_own_key() -> None:
    """The same root and purpose give the same 48 bytes, anything else gives others."""
    key = derive(ROOT, "tokens")

    assert 48 == len(key)
    assert key == derive(ROOT, "tokens")
    assert key != derive(ROOT, "callbacks")
    assert key != derive(ROOT[::-1], "tokens")


def test_it_is_one_block_of_hkdf() -> None:
    """RFC 5869; the value is what ``openssl kdf -kdfopt mode:EXPAND_ONLY ... HKDF`` says."""
    expected = (
        "4b23517fafb7503692f9ae5892c09166570a0417332d1230"
        "ba5a649c97a64347086f5839afed136587ba710c33508625"
    )

    assert expected == derive(ROOT, "tokens").hex()
