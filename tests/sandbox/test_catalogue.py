from __future__ import annotations

from typing import Any

import pytest

from app.sandbox.catalogue import STOCK_FACE, BadPatch, Catalogue, face_view


def test_ids_are_believed_by_their_kind() -> None:
    """Until a list says which exist; the stock always does."""
    catalogue = Catalogue()

    assert catalogue.pal("p123", None)
    assert catalogue.pal("p123", ["p123"])
    assert catalogue.pal("p123", []) is None
    assert catalogue.pal("r123", None) is None
    assert catalogue.pal("pipecat0", [])
    assert catalogue.has_face("r123", None)
    assert not catalogue.has_face("r123", [])
    assert not catalogue.has_face("p123", None)
    assert catalogue.has_face(STOCK_FACE, [])


@pytest.mark.parametrize(
    ("operations", "shown"),
    [
        ([{"op": "add", "path": "/layers/tts/engine", "value": "x"}], {"tts": {"engine": "x"}}),
        ([{"op": "add", "path": "/layers/a~1b", "value": 1}], {"a/b": 1}),
        ([{"op": "replace", "path": "/layers", "value": {}}], {}),
    ],
)
def test_a_patch_changes_fields(operations: list[dict[str, Any]], shown: dict[str, Any]) -> None:
    """Parents are made for an add; a slash in a name is escaped as the RFC says."""
    catalogue = Catalogue()
    pal = catalogue.create({"pal_name": "x", "layers": {}}, "pal", "now")

    catalogue.patch(pal, "pal", operations)

    assert shown == pal.view("pal")["layers"]


def test_a_bad_patch_changes_nothing() -> None:
    """Not even with good operations before the bad one."""
    catalogue = Catalogue()
    pal = catalogue.create({"pal_name": "x", "layers": {}}, "pal", "now")
    before = pal.view("pal")

    with pytest.raises(BadPatch, match="/nothing"):
        catalogue.patch(
            pal,
            "pal",
            [
                {"op": "add", "path": "/layers/x", "value": 1},
                {"op": "remove", "path": "/nothing"},
            ],
        )

    assert before == pal.view("pal")


def test_ids_cannot_be_patched() -> None:
    """The rest of the patch holds."""
    catalogue = Catalogue()
    pal = catalogue.create({"pal_name": "x"}, "pal", "now")
    pal_id = pal.pal_id

    catalogue.patch(pal, "pal", [{"op": "replace", "path": "/pal_id", "value": "p0"}])

    assert pal_id == pal.view("pal")["pal_id"]


def test_words_of_both_times() -> None:
    """Old and new words for the same things."""
    catalogue = Catalogue()
    pal = catalogue.create({"persona_name": "x", "default_replica_id": "r1"}, "persona", "now")

    assert ("x", "r1") == (pal.view("pal")["pal_name"], pal.view("pal")["default_face_id"])
    assert "r1" == face_view("r1", "face")["face_id"] == face_view("r1", "replica")["replica_id"]
