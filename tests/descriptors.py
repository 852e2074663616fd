"""
The descriptors of a reactor, for the reactors of the tests.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorFDSet
from zope.interface import implementer


@implementer(IReactorFDSet)
class DescriptorSet:
    """
    Descriptors in the order in which they were added.

    Attributes:
        readers: Descriptors to read from, with their numbers at that time.
        writers: Descriptors to write to, with their numbers.
    """

    def __init__(self) -> None:
        self.readers: dict[Any, int] = {}
        self.writers: dict[Any, int] = {}

    def addReader(self, reader: Any) -> None:
        """See `IReactorFDSet.addReader`."""
        self.readers[reader] = reader.fileno()

    def addWriter(self, writer: Any) -> None:
        """See `IReactorFDSet.addWriter`."""
        self.writers[writer] = writer.fileno()

    def removeReader(self, reader: Any) -> None:
        """See `IReactorFDSet.removeReader`."""
        self.readers.pop(reader, None)

    def removeWriter(self, writer: Any) -> None:
        """See `IReactorFDSet.removeWriter`."""
        self.writers.pop(writer, None)

    def removeAll(self) -> list[Any]:
        """See `IReactorFDSet.removeAll`."""
        raise NotImplementedError

    def getReaders(self) -> list[Any]:
        """See `IReactorFDSet.getReaders`."""
        return list(self.readers)

    def getWriters(self) -> list[Any]:
        """See `IReactorFDSet.getWriters`."""
        return list(self.writers)
