"""Operations on objects of one type, to be carried out together: what both clients offer; pure."""

from __future__ import annotations

from typing import Generic

from skytrail.client.kinds import ChangesT, FiltersT, Key, Kind, ObjectT, Operation


class Operations(Generic[ObjectT, ChangesT, FiltersT]):
    """Makes operations for transactions, plans and change sets; nothing is sent."""

    def __init__(self, object_class: type[ObjectT]) -> None:
        self._kind = Kind(object_class)

    def to_create(self, new: ObjectT) -> Operation:
        """Return the operation that creates an object."""
        return self._kind.create_operation(new)

    def to_apply(
        self, wanted: ObjectT, *, field_owner: str | None = None, force: bool = False
    ) -> Operation:
        """Return the operation that creates the object of this name or makes it so."""
        return self._kind.apply_operation(wanted, field_owner, force=force)

    def to_update(self, key: Key, changes: ChangesT, *, if_match: str | None = None) -> Operation:
        """Return the operation that changes what is given; None clears."""
        return self._kind.update_operation(key, changes, if_match)

    def to_delete(
        self, key: Key, *, if_match: str | None = None, cascade: bool = False
    ) -> Operation:
        """Return the operation that deletes an object, with ``cascade`` what is in the way too."""
        return self._kind.delete_operation(key, if_match, cascade=cascade)
